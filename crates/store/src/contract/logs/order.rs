//! The order of operations in flight.
use crate::contract::{data, fails, object, open_append, works};
use crate::{Append, Blobs, LogTail, Logs, StoreErrorKind};
use futures::future::join_all;
use std::time::Duration;

const REFUSED: &[StoreErrorKind] = &[StoreErrorKind::Stale, StoreErrorKind::Exists];

/// Appends that are all in flight at once, the creating one included, land in the order of the calls, even if their
/// futures are polled the other way round.
pub async fn appends_in_flight_land_in_order(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "flight");
    let pieces: Vec<_> = (0..20).map(|seed| data(unit, seed * 3, 1 + usize::from(seed % 4))).collect();
    let mut at = 0;
    let mut flights = Vec::new();
    for piece in &pieces {
        flights.push(store.append(&name, open_append(2, at, piece)));
        at += piece.len() as u64;
    }
    flights.reverse();
    for result in join_all(flights).await {
        works(result, "append in flight");
    }
    assert_eq!(works(store.read(&name, 0, at + 1).await, "read"), pieces.concat());
    works(store.remove(&name).await, "remove");
}

/// When one append in flight fails, all later ones fail as well and what is there is a prefix.
pub async fn appends_after_a_failed_one_fail(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "prefix");
    let piece = data(unit, 1, 1);
    let len = piece.len() as u64;
    let place =
        |index: u64| if index == 3 { open_append(9, index * len, &piece) } else { open_append(2, index * len, &piece) };
    let flights: Vec<_> = (0..8).map(|index| store.append(&name, place(index))).collect();
    for (index, result) in join_all(flights).await.into_iter().enumerate() {
        if index < 3 {
            works(result, "append before the wrong one");
        } else {
            fails(result, REFUSED, "append from the wrong one on");
        }
    }
    assert_eq!(works(store.stat(&name).await, "stat"), 3 * len);
    works(store.append(&name, open_append(2, 3 * len, &piece)).await, "append at the end of the prefix");
    works(store.remove(&name).await, "remove");
}

/// A seal in flight behind appends closes the object for what comes after it.
pub async fn appends_and_seal_in_flight(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "seal-flight");
    let piece = data(unit, 4, 1);
    let len = piece.len() as u64;
    let mut flights = vec![store.append(&name, open_append(2, 0, &piece))];
    flights.push(store.append(&name, open_append(2, len, &piece)));
    flights.push(store.append(&name, Append { summary_len: 5, ..open_append(2, 2 * len, &piece) }));
    flights.push(store.append(&name, open_append(2, 3 * len, &piece)));
    let mut results = join_all(flights).await;
    fails(results.remove(3), REFUSED, "append behind a seal in flight");
    results.into_iter().for_each(|result| works(result, "append in flight"));
    let tail = works(store.log_tail(&name).await, "tail");
    assert_eq!(tail, LogTail { epoch: 2, len: 3 * len, summary_len: 5 });
    works(store.remove(&name).await, "remove");
}

/// Different operations on one object take effect in the order of the calls, whatever the order of the polls.
pub async fn operations_take_effect_in_call_order(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "order");
    let piece = data(unit, 6, 1);
    let len = piece.len() as u64;
    let create = store.append(&name, open_append(2, 0, &piece));
    let before = store.stat(&name);
    let grow = store.append(&name, open_append(2, len, &piece));
    let after = store.read(&name, 0, 9 * len);
    let fence = store.fence(&name, 4);
    let late = store.append(&name, open_append(2, 2 * len, &piece));
    let remove = store.remove(&name);
    let gone = store.stat(&name);
    let again = store.put(&name, piece.clone());
    let there = store.stat(&name);
    assert_eq!(works(there.await, "stat after put"), len);
    works(again.await, "put after remove");
    fails(gone.await, &[StoreErrorKind::NotFound], "stat after remove");
    works(remove.await, "remove");
    fails(late.await, REFUSED, "append behind a fence in flight");
    assert_eq!(works(fence.await, "fence"), LogTail { epoch: 4, len: 2 * len, summary_len: 0 });
    assert_eq!(works(after.await, "read"), [&piece[..], &piece[..]].concat());
    works(grow.await, "second append");
    assert_eq!(works(before.await, "stat"), len);
    works(create.await, "first append");
    works(store.remove(&name).await, "remove");
}

/// An operation starts in the call: dropping its future unpolled does not take it back.
pub async fn a_dropped_future_does_not_stop_the_operation(
    store: &(impl Logs + Blobs + ?Sized),
    unit: u64,
    prefix: &str,
) {
    let name = object(prefix, "dropped");
    let piece = data(unit, 6, 1);
    drop(store.append(&name, open_append(2, 0, &piece)));
    let next = store.append(&name, open_append(2, unit, &piece));
    works(next.await, "append behind a dropped one");
    assert_eq!(works(store.stat(&name).await, "stat"), 2 * unit);
    drop(store.remove(&name));
    for _ in 0..100 {
        if store.stat(&name).await.is_err_and(|error| error.kind == StoreErrorKind::NotFound) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a removal whose future was dropped did not happen");
}
