//! Reads, and objects written at once.
use super::{Store, data, fails, object, open_append, unit, works};
use crate::{ObjectName, StoreErrorKind};
use bytes::Bytes;

const MISSING: &[StoreErrorKind] = &[StoreErrorKind::NotFound];

/// A read is clipped at the end of the object, empty beyond it, an error only where there is no object.
pub async fn reads_end_with_the_object(store: &Store, prefix: &str) {
    let (log, whole) = (object(prefix, "read.log"), object(prefix, "read.whole"));
    let bytes = data(store, 5, 3);
    let len = bytes.len() as u64;
    works(store.append(&log, open_append(1, 0, &bytes)).await, "append");
    works(store.put(&whole, bytes.clone()).await, "put");
    for name in [&log, &whole] {
        assert_eq!(works(store.read(name, 0, len).await, "whole"), bytes);
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
        works(store.remove(name).await, "remove");
    }
    let missing = object(prefix, "read.missing");
    fails(store.read(&missing, 0, 10).await, MISSING, "read of a missing object");
    fails(store.read_many(&missing, &[(0, 1), (5, 1)]).await, MISSING, "reads of a missing object");
    fails(store.stat(&missing).await, MISSING, "stat of a missing object");
    fails(store.log_tail(&missing).await, MISSING, "tail of a missing object");
}

/// A put never replaces, and after it the object is whole.
pub async fn put_is_exclusive(store: &Store, prefix: &str) {
    let name = object(prefix, "put");
    let (first, second) = (data(store, 5, 2), data(store, 77, 1));
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
pub async fn empty_and_large_puts(store: &Store, prefix: &str) {
    for len in [0, 1, 4095, 4097, 4 << 20] {
        let name = object(prefix, &format!("put-{len}"));
        let bytes: Bytes = (0..len).map(|place| (place % 249) as u8).collect::<Vec<_>>().into();
        works(store.put(&name, bytes.clone()).await, "put");
        assert_eq!(works(store.stat(&name).await, "stat"), len as u64);
        assert!(works(store.read(&name, 0, 8 << 20).await, "read") == bytes, "{len} bytes came back changed");
        works(store.remove(&name).await, "remove");
    }
}

/// Names may hold what users put into image names: dots, slashes, spaces, percent signs, any script.
pub async fn names_are_free(store: &Store, prefix: &str) {
    let odd = ["a/b", "..", "with space", "100%", "%2F", "lsd_ü_磁盘", ".hidden", "UPPER", "upper", "new\nline"];
    let names: Vec<ObjectName> = odd.iter().map(|name| object(prefix, name)).collect();
    for (index, name) in names.iter().enumerate() {
        works(store.put(name, vec![index as u8; index + 1].into()).await, "put under an odd name");
    }
    let mut listed = works(store.list(&format!("{prefix}.")).await, "list");
    let mut sorted = names.clone();
    sorted.sort();
    listed.retain(|name| names.contains(name));
    assert_eq!(listed, sorted);
    for (index, name) in names.iter().enumerate() {
        assert_eq!(works(store.read(name, 0, 100).await, "read"), vec![index as u8; index + 1]);
        works(store.remove(name).await, "remove");
    }
}

/// A removed object is gone, its name free again, and it cannot be removed twice.
pub async fn remove_removes(store: &Store, prefix: &str) {
    let name = object(prefix, "remove");
    let bytes = data(store, 1, 1);
    fails(store.remove(&name).await, MISSING, "remove of a missing object");
    for _ in 0..2 {
        works(store.append(&name, open_append(3, 0, &bytes)).await, "append");
        works(store.remove(&name).await, "remove");
        fails(store.read(&name, 0, 1).await, MISSING, "read after remove");
        fails(store.log_tail(&name).await, MISSING, "tail after remove");
        let late = store.append(&name, open_append(3, unit(store), &bytes)).await;
        fails(late, &[StoreErrorKind::Stale, StoreErrorKind::Exists], "append after remove");
        fails(store.remove(&name).await, MISSING, "remove again");
    }
}
