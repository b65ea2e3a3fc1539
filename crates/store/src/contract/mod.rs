//! The contract of [`ObjectStore`] as a test suite that every implementation passes: memory, directory, real RADOS.
//!
//! Owns: one function per promised behaviour, each panicking when the promise is broken. Does not own: the set-up of a
//! store, or anything a store may do beyond the trait's documentation. Every function works on objects whose names
//! start with the given prefix, which must be unique to the run, and removes them when it succeeds. All need a tokio
//! runtime with time.
mod blobs;
mod keyed;
mod logs;
mod pools;
mod presence;

pub use blobs::*;
pub use keyed::*;
pub use logs::*;
pub use pools::*;
pub use presence::*;

use crate::{Append, ObjectName, ObjectStore, StoreError, StoreErrorKind};
use bytes::Bytes;
use std::fmt::Debug;
use std::sync::Arc;

/// A store under test.
pub type Store = Arc<dyn ObjectStore>;

/// Everything one client can test of a pool with keyed objects.
pub async fn run_all(store: Store, prefix: &str) {
    run_log_part(store.clone(), prefix).await;
    run_keyed_part(&store, prefix).await;
    run_lock_part(&store, prefix).await;
    run_watch_part(&store, prefix).await;
}

/// What holds for every pool, one without keyed objects (an erasure-coded data pool) included.
pub async fn run_log_part(store: Store, prefix: &str) {
    let store = &store;
    append_creates_and_grows(store, prefix).await;
    append_joins_pieces(store, prefix).await;
    append_refuses_an_existing_object(store, prefix).await;
    append_refuses_a_missing_object(store, prefix).await;
    append_refuses_a_wrong_epoch(store, prefix).await;
    append_refuses_a_wrong_offset(store, prefix).await;
    append_refuses_a_sealed_object(store, prefix).await;
    append_seals_at_creation(store, prefix).await;
    appends_in_flight_land_in_order(store, prefix).await;
    appends_after_a_failed_one_fail(store, prefix).await;
    appends_and_seal_in_flight(store, prefix).await;
    operations_take_effect_in_call_order(store, prefix).await;
    a_dropped_future_does_not_stop_the_operation(store, prefix).await;
    fence_stops_the_older_epoch(store, prefix).await;
    fence_refuses_a_lower_epoch(store, prefix).await;
    fence_keeps_a_seal(store, prefix).await;
    fence_of_a_missing_object(store, prefix).await;
    reads_end_with_the_object(store, prefix).await;
    put_is_exclusive(store, prefix).await;
    empty_and_large_puts(store, prefix).await;
    names_are_free(store, prefix).await;
    remove_removes(store, prefix).await;
    list_by_prefix(store, prefix).await;
}

/// Keyed objects.
pub async fn run_keyed_part(store: &Store, prefix: &str) {
    kv_creates_and_reads(store, prefix).await;
    kv_presence(store, prefix).await;
    kv_guards(store, prefix).await;
    kv_absent_is_empty(store, prefix).await;
    kv_is_atomic(store, prefix).await;
    kv_updates_race_one_wins(store, prefix).await;
    kv_reads_by_prefix(store, prefix).await;
    kv_holds_many_and_large_values(store, prefix).await;
}

/// Advisory locks, as far as one client can see them.
pub async fn run_lock_part(store: &Store, prefix: &str) {
    lock_is_exclusive(store, prefix).await;
    lock_is_shared(store, prefix).await;
    lock_state_shows_holders(store, prefix).await;
    lock_can_be_broken(store, prefix).await;
}

/// Watches and notifications, as far as one client can see them.
pub async fn run_watch_part(store: &Store, prefix: &str) {
    watch_sees_notifications(store, prefix).await;
    notify_reports_the_silent(store, prefix).await;
    notify_without_watchers(store, prefix).await;
    unwatch_ends_a_watch(store, prefix).await;
    watchers_of_a_missing_object(store, prefix).await;
}

/// What needs two clients of one pool with keyed objects, in one process.
pub async fn run_two_clients(one: Store, two: Store, prefix: &str) {
    clients_differ(&one, &two);
    fence_stops_the_other_client(&one, &two, prefix).await;
    put_and_remove_are_seen_by_the_other_client(&one, &two, prefix).await;
    kv_guards_between_clients(&one, &two, prefix).await;
    lock_keeps_the_other_client_out(&one, &two, prefix).await;
    lock_is_shared_between_clients(&one, &two, prefix).await;
    lock_of_the_other_client_can_be_broken(&one, &two, prefix).await;
    notify_reaches_the_other_client(&one, &two, prefix).await;
}

fn object(prefix: &str, name: &str) -> ObjectName {
    ObjectName(format!("{prefix}.{name}"))
}

/// `units` times the store's alignment (at least 16 bytes a unit) of bytes that tell `seed` and their place.
fn data(store: &Store, seed: u8, units: usize) -> Bytes {
    let unit = unit(store) as usize;
    (0..units * unit).map(|place| seed.wrapping_add((place % 251) as u8)).collect::<Vec<_>>().into()
}

/// The smallest multiple of the alignment that is at least 16 bytes.
fn unit(store: &Store) -> u64 {
    16_u64.next_multiple_of(u64::from(store.limits().append_alignment.max(1)))
}

fn open_append(epoch: u64, at: u64, data: &Bytes) -> Append {
    Append { epoch, at, data: vec![data.clone()], summary_len: 0, urgent: false }
}

#[track_caller]
fn fails<T: Debug>(result: Result<T, StoreError>, allowed: &[StoreErrorKind], what: &str) {
    match result {
        Ok(value) => panic!("{what}: succeeded with {value:?}, expected one of {allowed:?}"),
        Err(error) => {
            assert!(allowed.contains(&error.kind), "{what}: {:?} ({error}), expected {allowed:?}", error.kind)
        }
    }
}

#[track_caller]
fn works<T>(result: Result<T, StoreError>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("{what}: {error}"))
}
