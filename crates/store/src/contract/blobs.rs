//! Objects as bytes: reads, puts, removals.
use super::{data, fails, object, works};
use crate::{Blobs, ObjectName, StoreErrorKind};
use bytes::Bytes;

const MISSING: &[StoreErrorKind] = &[StoreErrorKind::NotFound];

/// Whole objects need no alignment.
const UNIT: u64 = 17;

/// A read of `name`, which holds `bytes`, is clipped at its end, and empty beyond it.
pub(super) async fn reads_end_with(store: &(impl Blobs + ?Sized), name: &ObjectName, bytes: &Bytes) {
    let len = bytes.len() as u64;
    assert_eq!(works(store.read(name, 0, len).await, "whole"), *bytes);
    assert_eq!(works(store.read(name, 7, 5).await, "inside"), bytes.slice(7..12));
    assert_eq!(works(store.read(name, len - 3, 100).await, "across the end"), bytes.slice(bytes.len() - 3..));
    assert_eq!(works(store.read(name, 3, 1 << 20).await, "much across the end"), bytes.slice(3..));
    assert!(works(store.read(name, len, 10).await, "at the end").is_empty());
    assert!(works(store.read(name, len + 1000, 10).await, "beyond the end").is_empty());
    assert!(works(store.read(name, 1, 0).await, "nothing").is_empty());
    let ranges = [(7, 5), (0, len), (len - 3, 100), (7, 5), (len + 1, 10)];
    let several = works(store.read_many(name, &ranges).await, "several");
    assert_eq!(
        several,
        [bytes.slice(7..12), bytes.clone(), bytes.slice(bytes.len() - 3..), bytes.slice(7..12), Bytes::new()]
    );
    let with_nothing = works(store.read_many(name, &[(1, 0), (1, 1)]).await, "nothing among several");
    assert_eq!(with_nothing, [Bytes::new(), bytes.slice(1..2)]);
    assert!(works(store.read_many(name, &[]).await, "none").is_empty());
    let many: Vec<(u64, u64)> = (0..100).map(|place| (place * 7 % len, 3)).collect();
    for ((offset, _), read) in many.iter().zip(works(store.read_many(name, &many).await, "many")) {
        assert_eq!(read, bytes.slice(*offset as usize..(*offset as usize + 3).min(bytes.len())));
    }
}

/// A read is clipped at the end of the object, empty beyond it, an error only where there is no object.
pub async fn reads_end_with_the_object(store: &(impl Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "read.whole");
    let bytes = data(UNIT, 5, 3);
    works(store.put(&name, bytes.clone()).await, "put");
    reads_end_with(store, &name, &bytes).await;
    works(store.remove(&name).await, "remove");
    fails(store.read(&name, 0, 10).await, MISSING, "read of a missing object");
    fails(store.read_many(&name, &[(0, 1), (5, 1)]).await, MISSING, "reads of a missing object");
    fails(store.stat(&name).await, MISSING, "stat of a missing object");
}

/// A put never replaces, and after it the object is whole.
pub async fn put_is_exclusive(store: &(impl Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "put");
    let (first, second) = (data(UNIT, 5, 2), data(UNIT, 77, 1));
    works(store.put(&name, first.clone()).await, "put");
    fails(store.put(&name, second.clone()).await, &[StoreErrorKind::Exists], "put again");
    assert_eq!(works(store.stat(&name).await, "stat"), first.len() as u64);
    assert_eq!(works(store.read(&name, 0, 1 << 20).await, "read"), first);
    works(store.remove(&name).await, "remove");
    let (one, two) = (store.put(&name, first.clone()), store.put(&name, second));
    fails(two.await, &[StoreErrorKind::Exists], "the second of two puts in flight");
    works(one.await, "the first of two puts in flight");
    assert_eq!(works(store.read(&name, 0, 1 << 20).await, "read"), first);
    works(store.remove(&name).await, "remove");
}

/// Sizes from nothing to 4 MiB; puts need no alignment.
pub async fn empty_and_large_puts(store: &(impl Blobs + ?Sized), prefix: &str) {
    for len in [0, 1, 4095, 4097, 4 << 20] {
        let name = object(prefix, &format!("put-{len}"));
        let bytes: Bytes = (0..len).map(|place| (place % 249) as u8).collect::<Vec<_>>().into();
        works(store.put(&name, bytes.clone()).await, "put");
        assert_eq!(works(store.stat(&name).await, "stat"), len as u64);
        assert!(works(store.read(&name, 0, 8 << 20).await, "read") == bytes, "{len} bytes came back changed");
        works(store.remove(&name).await, "remove");
    }
}

/// A removed object is gone, its name free again, and it cannot be removed twice.
pub async fn remove_removes(store: &(impl Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "remove");
    fails(store.remove(&name).await, MISSING, "remove of a missing object");
    for seed in 0..2 {
        let bytes = data(UNIT, seed, 1);
        works(store.put(&name, bytes.clone()).await, "put");
        assert_eq!(works(store.read(&name, 0, 100).await, "read"), bytes);
        works(store.remove(&name).await, "remove");
        fails(store.read(&name, 0, 1).await, MISSING, "read after remove");
        fails(store.stat(&name).await, MISSING, "stat after remove");
        fails(store.remove(&name).await, MISSING, "remove again");
    }
}

/// What one client made, the other sees; what it removed, the other does not.
pub async fn put_and_remove_are_seen_by_the_other_client<S: Blobs + ?Sized>(one: &S, two: &S, prefix: &str) {
    let name = object(prefix, "two.put");
    let bytes = data(UNIT, 1, 1);
    works(one.put(&name, bytes.clone()).await, "put");
    assert_eq!(works(two.read(&name, 0, 1 << 20).await, "read"), bytes);
    fails(two.put(&name, bytes.clone()).await, &[StoreErrorKind::Exists], "put of the other");
    works(two.remove(&name).await, "remove of the other");
    fails(one.read(&name, 0, 1).await, MISSING, "read after it");
    works(one.put(&name, bytes).await, "put under the same name");
    works(two.remove(&name).await, "remove of the other");
}
