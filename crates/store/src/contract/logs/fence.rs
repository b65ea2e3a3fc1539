//! Fencing a log object off from older epochs.
use crate::contract::{data, fails, object, open_append, works};
use crate::{Append, Blobs, LogTail, Logs, StoreErrorKind};

const STALE: &[StoreErrorKind] = &[StoreErrorKind::Stale];

/// After a fence the old owner's append fails and the tail that the fence returned stays the tail.
pub async fn fence_stops_the_older_epoch(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "fenced");
    let bytes = data(unit, 1, 2);
    let at = bytes.len() as u64;
    works(store.append(&name, open_append(3, 0, &bytes)).await, "append");
    let fenced = LogTail { epoch: 4, len: at, summary_len: 0 };
    assert_eq!(works(store.fence(&name, 4).await, "fence"), fenced);
    fails(store.append(&name, open_append(3, at, &bytes)).await, STALE, "late append");
    let late_seal = Append { summary_len: 4, ..open_append(3, at, &bytes) };
    fails(store.append(&name, late_seal).await, STALE, "late seal");
    assert_eq!(works(store.log_tail(&name).await, "tail"), fenced);
    assert_eq!(works(store.stat(&name).await, "stat"), at);
    works(store.append(&name, open_append(4, at, &bytes)).await, "append of the new epoch");
    works(store.remove(&name).await, "remove");
}

/// The same fence again is no error, a lower one is.
pub async fn fence_refuses_a_lower_epoch(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "fence-lower");
    let bytes = data(unit, 1, 1);
    works(store.append(&name, open_append(3, 0, &bytes)).await, "append");
    let tail = works(store.fence(&name, 10).await, "fence");
    assert_eq!(works(store.fence(&name, 10).await, "the same fence"), tail);
    fails(store.fence(&name, 9).await, STALE, "a lower fence");
    fails(store.fence(&name, 3).await, STALE, "a lower fence");
    assert_eq!(works(store.log_tail(&name).await, "tail"), tail);
    // Numbers that would sort wrongly as text.
    assert_eq!(works(store.fence(&name, 100).await, "a higher fence").epoch, 100);
    fails(store.fence(&name, 11).await, STALE, "a lower fence");
    assert_eq!(works(store.fence(&name, 1 << 40).await, "a higher fence").epoch, 1 << 40);
    works(store.remove(&name).await, "remove");
}

/// Fencing a sealed object leaves it sealed and whole.
pub async fn fence_keeps_a_seal(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "fence-sealed");
    let bytes = data(unit, 1, 1);
    let len = bytes.len() as u64;
    works(store.append(&name, Append { summary_len: 6, ..open_append(3, 0, &bytes) }).await, "seal");
    let tail = LogTail { epoch: 7, len, summary_len: 6 };
    assert_eq!(works(store.fence(&name, 7).await, "fence"), tail);
    assert_eq!(works(store.log_tail(&name).await, "tail"), tail);
    fails(store.append(&name, open_append(7, len, &bytes)).await, STALE, "append to a sealed object");
    assert_eq!(works(store.read(&name, 0, len).await, "read"), bytes);
    works(store.remove(&name).await, "remove");
}

/// A fence creates nothing.
pub async fn fence_of_a_missing_object(store: &(impl Logs + Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "fence-missing");
    fails(store.fence(&name, 4).await, &[StoreErrorKind::NotFound], "fence");
    fails(store.stat(&name).await, &[StoreErrorKind::NotFound], "stat after it");
}

/// After the new owner's fence the old owner's appends fail, those in flight included.
pub async fn fence_stops_the_other_client<S: Logs + Blobs + ?Sized>(one: &S, two: &S, unit: u64, prefix: &str) {
    let name = object(prefix, "two.fence");
    let bytes = data(unit, 1, 1);
    let len = bytes.len() as u64;
    works(one.append(&name, open_append(3, 0, &bytes)).await, "append of the old owner");
    let tail = works(two.fence(&name, 4).await, "fence");
    assert_eq!((tail.epoch, tail.len), (4, len));
    fails(one.append(&name, open_append(3, len, &bytes)).await, STALE, "late append");
    fails(one.fence(&name, 3).await, STALE, "fence of the old owner");
    works(two.append(&name, open_append(4, len, &bytes)).await, "append of the new owner");
    let flights: Vec<_> = (2..10).map(|place| two.append(&name, open_append(4, place * len, &bytes))).collect();
    let fenced = works(one.fence(&name, 5).await, "fence among appends in flight");
    let landed = futures::future::join_all(flights).await.into_iter().filter(Result::is_ok).count() as u64;
    assert_eq!(fenced.len, (2 + landed) * len, "the fence saw exactly what was acknowledged");
    assert_eq!(works(one.stat(&name).await, "stat"), fenced.len);
    works(one.remove(&name).await, "remove");
}
