//! The contract of [`ObjectStore`] as a test suite that every implementation passes: memory, directory, real RADOS.
//!
//! Owns: one function per promised behaviour, each panicking when the promise is broken; a folder or file for each part of the trait,
//! whose functions take only the parts that they need. Does not own: the set-up of a store, or anything a store may do beyond the
//! documentation of the parts. Every function works on objects whose names
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

use crate::{Append, Blobs, Keyed, Logs, ObjectName, ObjectStore, Pools, Presence, StoreError, StoreErrorKind};
use bytes::Bytes;
use std::fmt::Debug;
use std::sync::Arc;

/// A store under test.
pub type Store = Arc<dyn ObjectStore>;

/// Everything one client can test of a pool with keyed objects.
pub async fn run_all(store: Store, prefix: &str) {
    run_without_keys(store.clone(), prefix).await;
    run_keyed(&*store, prefix).await;
    run_presence(&*store, prefix).await;
    list_holds_keyed_objects(&*store, prefix).await;
}

/// What holds for every pool, one without keyed objects (an erasure-coded data pool) included.
pub async fn run_without_keys(store: Store, prefix: &str) {
    let unit = unit(&*store);
    run_blobs(&*store, prefix).await;
    run_logs(&*store, unit, prefix).await;
    run_pools(&*store, unit, prefix).await;
}

/// [`Blobs`].
pub async fn run_blobs(store: &(impl Blobs + ?Sized), prefix: &str) {
    reads_end_with_the_object(store, prefix).await;
    put_is_exclusive(store, prefix).await;
    empty_and_large_puts(store, prefix).await;
    remove_removes(store, prefix).await;
}

/// [`Logs`], whose data is read as that of all [`Blobs`]. `unit`: appends of a multiple of it are aligned, bytes; at least 16.
pub async fn run_logs(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    append_creates_and_grows(store, unit, prefix).await;
    append_joins_pieces(store, unit, prefix).await;
    append_refuses_an_existing_object(store, unit, prefix).await;
    append_refuses_a_missing_object(store, unit, prefix).await;
    append_refuses_a_wrong_epoch(store, unit, prefix).await;
    append_refuses_a_wrong_offset(store, unit, prefix).await;
    append_refuses_a_sealed_object(store, unit, prefix).await;
    append_seals_at_creation(store, unit, prefix).await;
    appended_data_is_read(store, unit, prefix).await;
    append_after_a_removal(store, unit, prefix).await;
    appends_in_flight_land_in_order(store, unit, prefix).await;
    appends_after_a_failed_one_fail(store, unit, prefix).await;
    appends_and_seal_in_flight(store, unit, prefix).await;
    operations_take_effect_in_call_order(store, unit, prefix).await;
    a_dropped_future_does_not_stop_the_operation(store, unit, prefix).await;
    fence_stops_the_older_epoch(store, unit, prefix).await;
    fence_refuses_a_lower_epoch(store, unit, prefix).await;
    fence_keeps_a_seal(store, unit, prefix).await;
    fence_of_a_missing_object(store, prefix).await;
}

/// [`Keyed`], with [`Blobs`] to clean up.
pub async fn run_keyed(store: &(impl Keyed + Blobs + ?Sized), prefix: &str) {
    kv_creates_and_reads(store, prefix).await;
    kv_presence(store, prefix).await;
    kv_guards(store, prefix).await;
    kv_absent_is_empty(store, prefix).await;
    kv_is_atomic(store, prefix).await;
    kv_updates_race_one_wins(store, prefix).await;
    kv_reads_by_prefix(store, prefix).await;
    kv_holds_many_and_large_values(store, prefix).await;
}

/// [`Presence`], as far as one client can see it, with [`Keyed`] for objects to lock and watch.
pub async fn run_presence(store: &(impl Presence + Keyed + Blobs + ?Sized), prefix: &str) {
    lock_is_exclusive(store, prefix).await;
    lock_is_shared(store, prefix).await;
    lock_state_shows_holders(store, prefix).await;
    lock_can_be_broken(store, prefix).await;
    watch_sees_notifications(store, prefix).await;
    notify_reports_the_silent(store, prefix).await;
    notify_without_watchers(store, prefix).await;
    unwatch_ends_a_watch(store, prefix).await;
    watchers_of_a_missing_object(store, prefix).await;
}

/// [`Pools`], with [`Blobs`] and [`Logs`] to list.
pub async fn run_pools(store: &(impl Pools + Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    a_pool_says_what_it_can(store);
    names_are_free(store, prefix).await;
    list_by_prefix(store, unit, prefix).await;
}

/// What needs two clients of one pool with keyed objects, in one process.
pub async fn run_two_clients(one: Store, two: Store, prefix: &str) {
    let (unit, one, two) = (unit(&*one), &*one, &*two);
    clients_differ(one, two);
    put_and_remove_are_seen_by_the_other_client(one, two, prefix).await;
    append_and_remove_are_seen_by_the_other_client(one, two, unit, prefix).await;
    fence_stops_the_other_client(one, two, unit, prefix).await;
    kv_guards_between_clients(one, two, prefix).await;
    lock_keeps_the_other_client_out(one, two, prefix).await;
    lock_is_shared_between_clients(one, two, prefix).await;
    lock_of_the_other_client_can_be_broken(one, two, prefix).await;
    notify_reaches_the_other_client(one, two, prefix).await;
    a_pool_is_the_same_for_both_clients(one, two, prefix).await;
}

fn object(prefix: &str, name: &str) -> ObjectName {
    ObjectName(format!("{prefix}.{name}"))
}

/// `units` times `unit` bytes that tell `seed` and their place.
fn data(unit: u64, seed: u8, units: usize) -> Bytes {
    (0..units * unit as usize).map(|place| seed.wrapping_add((place % 251) as u8)).collect::<Vec<_>>().into()
}

/// The smallest multiple of the alignment that is at least 16 bytes.
fn unit(store: &(impl Pools + ?Sized)) -> u64 {
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
