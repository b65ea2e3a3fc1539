//! Guarded appends, one at a time.
use crate::contract::blobs::reads_end_with;
use crate::contract::{data, fails, object, open_append, works};
use crate::{Append, Blobs, LogTail, Logs, StoreErrorKind};

const MISSING: &[StoreErrorKind] = &[StoreErrorKind::NotFound];
const REFUSED: &[StoreErrorKind] = &[StoreErrorKind::Stale, StoreErrorKind::Exists];

/// The first append creates the object, the next ones follow it; the tail counts every byte.
pub async fn append_creates_and_grows(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "grow");
    let (first, second) = (data(unit, 1, 3), data(unit, 2, 1));
    works(store.append(&name, open_append(7, 0, &first)).await, "first append");
    let at = first.len() as u64;
    let tail = works(store.log_tail(&name).await, "tail");
    assert_eq!(tail, LogTail { epoch: 7, len: at, summary_len: 0 });
    works(store.append(&name, open_append(7, at, &second)).await, "second append");
    let len = at + second.len() as u64;
    let tail = works(store.log_tail(&name).await, "tail");
    assert_eq!(tail, LogTail { epoch: 7, len, summary_len: 0 });
    assert_eq!(works(store.stat(&name).await, "stat"), len);
    let all = works(store.read(&name, 0, len).await, "read");
    assert_eq!(all, [first, second].concat());
    works(store.remove(&name).await, "remove");
}

/// The pieces of one append land one after another, whatever their sizes; only their sum must be aligned.
pub async fn append_joins_pieces(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "pieces");
    let whole = data(unit, 9, 2);
    let cuts = [0, 1, 1, 6, whole.len() - 3, whole.len()];
    let pieces = cuts.windows(2).map(|cut| whole.slice(cut[0]..cut[1])).collect();
    let append = Append { epoch: 1, at: 0, data: pieces, summary_len: 0, urgent: false };
    assert_eq!(append.len(), whole.len() as u64);
    works(store.append(&name, append).await, "append of pieces");
    let many = (0..whole.len()).map(|at| whole.slice(at..=at)).collect();
    let at = whole.len() as u64;
    works(
        store.append(&name, Append { epoch: 1, at, data: many, summary_len: 0, urgent: false }).await,
        "append of many pieces",
    );
    assert_eq!(works(store.read(&name, 0, at).await, "read"), whole);
    assert_eq!(works(store.read(&name, at, at).await, "read"), whole);
    works(store.remove(&name).await, "remove");
}

/// An append at 0 is an exclusive creation, whatever kind of object is there and whatever its epoch.
pub async fn append_refuses_an_existing_object(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let (log, whole) = (object(prefix, "there.log"), object(prefix, "there.whole"));
    let bytes = data(unit, 1, 1);
    works(store.append(&log, open_append(3, 0, &bytes)).await, "append");
    works(store.put(&whole, bytes.clone()).await, "put");
    for epoch in [2, 3, 4] {
        fails(store.append(&log, open_append(epoch, 0, &bytes)).await, REFUSED, "append at 0 again");
        fails(store.append(&whole, open_append(epoch, 0, &bytes)).await, REFUSED, "append at 0 to a whole object");
    }
    fails(store.put(&log, bytes.clone()).await, &[StoreErrorKind::Exists], "put over a log object");
    assert_eq!(works(store.stat(&log).await, "stat"), bytes.len() as u64);
    works(store.remove(&log).await, "remove");
    works(store.remove(&whole).await, "remove");
}

/// An append beyond 0 never creates.
pub async fn append_refuses_a_missing_object(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "missing");
    let bytes = data(unit, 1, 1);
    fails(store.append(&name, open_append(1, unit, &bytes)).await, REFUSED, "append to a missing object");
    fails(store.stat(&name).await, &[StoreErrorKind::NotFound], "stat after it");
    fails(store.log_tail(&name).await, &[StoreErrorKind::NotFound], "tail after it");
}

/// Both older and newer epochs are refused, and change nothing.
pub async fn append_refuses_a_wrong_epoch(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "epoch");
    let bytes = data(unit, 1, 1);
    let at = bytes.len() as u64;
    works(store.append(&name, open_append(5, 0, &bytes)).await, "append");
    for epoch in [0, 4, 6, u64::MAX] {
        fails(store.append(&name, open_append(epoch, at, &bytes)).await, REFUSED, "append of a wrong epoch");
    }
    let tail = works(store.log_tail(&name).await, "tail");
    assert_eq!(tail, LogTail { epoch: 5, len: at, summary_len: 0 });
    assert_eq!(works(store.stat(&name).await, "stat"), at);
    works(store.remove(&name).await, "remove");
}

/// An append lands exactly at the end or not at all: the same one twice is refused.
pub async fn append_refuses_a_wrong_offset(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "offset");
    let bytes = data(unit, 1, 2);
    let (at, step) = (bytes.len() as u64, unit);
    works(store.append(&name, open_append(5, 0, &bytes)).await, "append");
    works(store.append(&name, open_append(5, at, &bytes)).await, "append");
    for wrong in [step, at, 2 * at - step, 2 * at + step] {
        fails(store.append(&name, open_append(5, wrong, &bytes)).await, REFUSED, "append at a wrong offset");
    }
    assert_eq!(works(store.stat(&name).await, "stat"), 2 * at);
    works(store.append(&name, open_append(5, 2 * at, &bytes)).await, "append at the end after all that");
    works(store.remove(&name).await, "remove");
}

/// A sealed object takes no more appends; its tail names the summary.
pub async fn append_refuses_a_sealed_object(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "sealed");
    let bytes = data(unit, 1, 2);
    let at = bytes.len() as u64;
    works(store.append(&name, open_append(5, 0, &bytes)).await, "append");
    let seal = Append { summary_len: 11, ..open_append(5, at, &bytes) };
    works(store.append(&name, seal.clone()).await, "seal");
    let sealed = LogTail { epoch: 5, len: 2 * at, summary_len: 11 };
    assert_eq!(works(store.log_tail(&name).await, "tail"), sealed);
    fails(store.append(&name, open_append(5, 2 * at, &bytes)).await, REFUSED, "append to a sealed object");
    fails(store.append(&name, Append { at: 2 * at, ..seal }).await, REFUSED, "second seal");
    assert_eq!(works(store.log_tail(&name).await, "tail"), sealed);
    assert_eq!(works(store.read(&name, at, at).await, "read"), bytes);
    works(store.remove(&name).await, "remove");
}

/// One append can create and seal.
pub async fn append_seals_at_creation(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "born-sealed");
    let bytes = data(unit, 1, 1);
    let at = bytes.len() as u64;
    works(store.append(&name, Append { summary_len: 3, ..open_append(8, 0, &bytes) }).await, "create and seal");
    assert_eq!(works(store.log_tail(&name).await, "tail"), LogTail { epoch: 8, len: at, summary_len: 3 });
    fails(store.append(&name, open_append(8, at, &bytes)).await, REFUSED, "append after it");
    works(store.remove(&name).await, "remove");
}

/// What was appended is read as other objects are, and as far as it goes.
pub async fn appended_data_is_read(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "read.log");
    let bytes = data(unit, 5, 3);
    works(store.append(&name, open_append(1, 0, &bytes)).await, "append");
    reads_end_with(store, &name, &bytes).await;
    works(store.remove(&name).await, "remove");
    fails(store.log_tail(&name).await, MISSING, "tail of a missing object");
}

/// A removed log object is gone, and its name free for another.
pub async fn append_after_a_removal(store: &(impl Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let name = object(prefix, "remove.log");
    let bytes = data(unit, 1, 1);
    for _ in 0..2 {
        works(store.append(&name, open_append(3, 0, &bytes)).await, "append");
        works(store.remove(&name).await, "remove");
        fails(store.read(&name, 0, 1).await, MISSING, "read after remove");
        fails(store.log_tail(&name).await, MISSING, "tail after remove");
        fails(store.append(&name, open_append(3, unit, &bytes)).await, REFUSED, "append after remove");
        fails(store.remove(&name).await, MISSING, "remove again");
    }
}

/// What one client appended and removed, the other sees.
pub async fn append_and_remove_are_seen_by_the_other_client<S: Logs + Blobs + ?Sized>(
    one: &S,
    two: &S,
    unit: u64,
    prefix: &str,
) {
    let name = object(prefix, "two.append");
    let bytes = data(unit, 1, 1);
    works(one.append(&name, open_append(1, 0, &bytes)).await, "append");
    assert_eq!(works(two.log_tail(&name).await, "tail").len, bytes.len() as u64);
    assert_eq!(works(two.read(&name, 0, 1 << 20).await, "read"), bytes);
    works(two.remove(&name).await, "remove of the other");
    let late = one.append(&name, open_append(1, bytes.len() as u64, &bytes)).await;
    fails(late, &[StoreErrorKind::Stale], "append after it");
    fails(one.stat(&name).await, MISSING, "the append made nothing");
}
