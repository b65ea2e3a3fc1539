//! What is in a pool, and what a pool says of itself.
use super::{data, object, open_append, works};
use crate::{Blobs, Keyed, KvUpdate, Logs, ObjectName, Pools};

/// A list holds exactly the objects of the prefix, of all kinds, sorted by their bytes.
pub async fn list_by_prefix(store: &(impl Pools + Logs + Blobs + ?Sized), unit: u64, prefix: &str) {
    let whole = ["list.b", "list.a", "list.a.1", "list.B", "lisu"].map(|name| object(prefix, name));
    let log = object(prefix, "list.c");
    for name in &whole {
        works(store.put(name, data(unit, 1, 1)).await, "put");
    }
    works(store.append(&log, open_append(1, 0, &data(unit, 1, 1))).await, "append");
    let listed = works(store.list(&format!("{prefix}.list.")).await, "list");
    let expected: Vec<ObjectName> =
        ["list.B", "list.a", "list.a.1", "list.b", "list.c"].iter().map(|name| object(prefix, name)).collect();
    assert_eq!(listed, expected);
    assert!(works(store.list(&format!("{prefix}.list.nothing")).await, "list of nothing").is_empty());
    let all = works(store.list("").await, "list of everything");
    assert!(expected.iter().all(|name| all.contains(name)), "an empty prefix lists everything");
    for name in whole.iter().chain([&log]) {
        works(store.remove(name).await, "remove");
    }
    assert!(works(store.list(&format!("{prefix}.lis")).await, "list").is_empty());
}

/// Names may hold what users put into image names: dots, slashes, spaces, percent signs, any script.
pub async fn names_are_free(store: &(impl Pools + Blobs + ?Sized), prefix: &str) {
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

/// An object that has only keys is listed as well.
pub async fn list_holds_keyed_objects(store: &(impl Pools + Keyed + Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "list-keyed");
    works(store.kv_update(&name, KvUpdate::default().set("a", "1")).await, "create");
    assert_eq!(works(store.list(&name.0).await, "list"), std::slice::from_ref(&name));
    works(store.remove(&name).await, "remove");
    assert!(works(store.list(&name.0).await, "list").is_empty());
}

/// What a pool says of itself stays as it is, and can be kept by a caller: appends and puts of some size are possible.
pub fn a_pool_says_what_it_can(store: &(impl Pools + ?Sized)) {
    let limits = store.limits();
    assert!(limits.append_alignment > 0 && limits.max_write >= 4 << 20, "{limits:?}");
    assert!(limits.max_write >= limits.append_alignment, "{limits:?}");
    assert_eq!(store.limits(), limits);
    assert!(!store.pool_name().is_empty());
}

/// Two clients of one pool are told the same of it, and list the same.
pub async fn a_pool_is_the_same_for_both_clients<S: Pools + Blobs + ?Sized>(one: &S, two: &S, prefix: &str) {
    assert_eq!((one.pool_id(), one.pool_name(), one.limits()), (two.pool_id(), two.pool_name(), two.limits()));
    let name = object(prefix, "two.list");
    works(one.put(&name, "x".into()).await, "put");
    assert_eq!(works(two.list(&name.0).await, "list"), std::slice::from_ref(&name));
    works(two.remove(&name).await, "remove");
    assert!(works(one.list(&name.0).await, "list").is_empty());
}
