//! Listing.
use super::{Store, data, object, open_append, works};
use crate::ObjectName;

/// A list holds exactly the objects of the prefix, of all kinds, sorted by their bytes.
pub async fn list_by_prefix(store: &Store, prefix: &str) {
    let whole = ["list.b", "list.a", "list.a.1", "list.B", "lisu"].map(|name| object(prefix, name));
    let log = object(prefix, "list.c");
    for name in &whole {
        works(store.put(name, data(store, 1, 1)).await, "put");
    }
    works(store.append(&log, open_append(1, 0, &data(store, 1, 1))).await, "append");
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
