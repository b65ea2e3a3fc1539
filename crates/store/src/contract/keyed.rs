//! Keyed objects: compare, then write.
use super::{fails, object, works};
use crate::{Blobs, Keyed, KvMap, KvPresence, KvUpdate, StoreErrorKind};
use bytes::Bytes;
use futures::future::join_all;

const STALE: &[StoreErrorKind] = &[StoreErrorKind::Stale];
const MISSING: &[StoreErrorKind] = &[StoreErrorKind::NotFound];

fn map(pairs: &[(&str, &str)]) -> KvMap {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), Bytes::copy_from_slice(value.as_bytes()))).collect()
}

fn update() -> KvUpdate {
    KvUpdate::default()
}

/// An update sets, replaces and removes keys; any bytes are values.
pub async fn kv_creates_and_reads(store: &(impl Keyed + Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "kv");
    fails(store.kv_get(&name, "").await, MISSING, "read of a missing keyed object");
    works(store.kv_update(&name, update().set("a", "1").set("b", "2")).await, "create");
    assert_eq!(works(store.kv_get(&name, "").await, "read"), map(&[("a", "1"), ("b", "2")]));
    let change = update().set("a", "3").set("c", vec![0, 255, 10]).remove("b").remove("never there");
    works(store.kv_update(&name, change).await, "change");
    let mut expected = map(&[("a", "3")]);
    expected.insert("c".to_owned(), Bytes::from_static(&[0, 255, 10]));
    assert_eq!(works(store.kv_get(&name, "").await, "read"), expected);
    assert_eq!(works(store.stat(&name).await, "stat"), 0, "keys are not data");
    works(store.remove(&name).await, "remove");
    fails(store.kv_get(&name, "").await, MISSING, "read after remove");
}

/// The object's presence can be demanded.
pub async fn kv_presence(store: &(impl Keyed + Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "kv-presence");
    let must_exist = update().presence(KvPresence::MustExist).set("a", "1");
    let must_create = update().presence(KvPresence::MustCreate).set("a", "2");
    fails(store.kv_update(&name, must_exist.clone()).await, MISSING, "update of a missing object");
    fails(store.stat(&name).await, MISSING, "stat after it");
    works(store.kv_update(&name, must_create.clone()).await, "create");
    fails(store.kv_update(&name, must_create).await, &[StoreErrorKind::Exists], "create again");
    assert_eq!(works(store.kv_get(&name, "").await, "read"), map(&[("a", "2")]));
    works(store.kv_update(&name, must_exist).await, "update");
    assert_eq!(works(store.kv_get(&name, "").await, "read"), map(&[("a", "1")]));
    let emptied = update().remove("a");
    works(store.kv_update(&name, emptied).await, "removal of the last key");
    assert!(works(store.kv_get(&name, "").await, "an empty keyed object is there").is_empty());
    works(store.remove(&name).await, "remove");
}

/// A guard holds for exactly the present value.
pub async fn kv_guards(store: &(impl Keyed + Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "kv-guards");
    works(store.kv_update(&name, update().set("a", "1").set("b", "22")).await, "create");
    for wrong in ["", "2", "11", "0", "1\0"] {
        fails(store.kv_update(&name, update().expect("a", wrong).set("a", "9")).await, STALE, "wrong value");
    }
    fails(store.kv_update(&name, update().expect("c", "1").set("a", "9")).await, STALE, "value of an absent key");
    assert_eq!(works(store.kv_get(&name, "").await, "read"), map(&[("a", "1"), ("b", "22")]));
    works(store.kv_update(&name, update().expect("a", "1").expect("b", "22").set("a", "2")).await, "right values");
    works(store.kv_update(&name, update().expect("a", "2").remove("a")).await, "removal under a guard");
    assert_eq!(works(store.kv_get(&name, "").await, "read"), map(&[("b", "22")]));
    works(store.remove(&name).await, "remove");
}

/// An absent key compares as empty, in an existing object and in one that the update creates.
pub async fn kv_absent_is_empty(store: &(impl Keyed + Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "kv-absent");
    fails(store.kv_update(&name, update().expect("a", "1").set("a", "2")).await, STALE, "guard on nothing");
    fails(store.stat(&name).await, MISSING, "a failed update creates nothing");
    works(store.kv_update(&name, update().expect("a", "").set("a", "1")).await, "create under an empty guard");
    fails(store.kv_update(&name, update().expect("a", "").set("a", "2")).await, STALE, "empty guard on a value");
    works(store.kv_update(&name, update().expect("b", "").set("b", "1")).await, "empty guard on an absent key");
    assert_eq!(works(store.kv_get(&name, "").await, "read"), map(&[("a", "1"), ("b", "1")]));
    let again = update().presence(KvPresence::MustCreate).expect("c", "");
    fails(store.kv_update(&name, again).await, &[StoreErrorKind::Exists], "creation with a guard");
    works(store.remove(&name).await, "remove");
    let create = update().presence(KvPresence::MustCreate).expect("c", "").set("c", "1");
    works(store.kv_update(&name, create).await, "creation with an empty guard");
    works(store.remove(&name).await, "remove");
}

/// One guard that does not hold keeps every change of the update away.
pub async fn kv_is_atomic(store: &(impl Keyed + Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "kv-atomic");
    let before = map(&[("a", "1"), ("b", "1"), ("c", "1")]);
    works(store.kv_update(&name, update().set("a", "1").set("b", "1").set("c", "1")).await, "create");
    for bad in ["a", "b", "c", "d"] {
        let mut all = update().set("a", "2").set("e", "5").remove("b").remove("c");
        for key in ["a", "b", "c"] {
            all = all.expect(key, if key == bad { "9" } else { "1" });
        }
        if bad == "d" {
            all = all.expect("d", "9");
        }
        fails(store.kv_update(&name, all).await, STALE, "one wrong guard");
        assert_eq!(works(store.kv_get(&name, "").await, "read"), before);
    }
    works(store.remove(&name).await, "remove");
}

/// Of updates in flight under the same guard exactly one wins.
pub async fn kv_updates_race_one_wins(store: &(impl Keyed + Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "kv-race");
    works(store.kv_update(&name, update().set("turn", "0")).await, "create");
    let racers = (1..=6).map(|racer: u32| {
        store.kv_update(&name, update().expect("turn", "0").set("turn", racer.to_string()).set(racer.to_string(), "x"))
    });
    let results = join_all(racers.collect::<Vec<_>>()).await;
    let winners = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(winners, 1, "one update wins: {results:?}");
    assert!(results[0].is_ok(), "the first call wins: {results:?}");
    for result in results.into_iter().skip(1) {
        fails(result, STALE, "a losing update");
    }
    assert_eq!(works(store.kv_get(&name, "").await, "read"), map(&[("1", "x"), ("turn", "1")]));
    works(store.remove(&name).await, "remove");
}

/// Only the keys that start with the prefix come back.
pub async fn kv_reads_by_prefix(store: &(impl Keyed + Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "kv-prefix");
    let all = update().set("name_a", "1").set("name_b", "2").set("id_a", "3").set("name", "4").set("namf", "5");
    works(store.kv_update(&name, all).await, "create");
    assert_eq!(works(store.kv_get(&name, "name_").await, "read"), map(&[("name_a", "1"), ("name_b", "2")]));
    assert_eq!(works(store.kv_get(&name, "id_").await, "read"), map(&[("id_a", "3")]));
    assert!(works(store.kv_get(&name, "none").await, "read").is_empty());
    assert_eq!(works(store.kv_get(&name, "").await, "read").len(), 5);
    works(store.remove(&name).await, "remove");
}

/// More keys than one page of a listing, and a value of 256 KiB.
pub async fn kv_holds_many_and_large_values(store: &(impl Keyed + Blobs + ?Sized), prefix: &str) {
    let name = object(prefix, "kv-many");
    let many = (0..2500).map(|number: u32| (format!("key.{number:05}"), Bytes::from(number.to_string()))).collect();
    works(store.kv_update(&name, KvUpdate { set: many, ..update() }).await, "many keys");
    let large = Bytes::from(vec![0xA5; 256 << 10]);
    works(store.kv_update(&name, update().set("large", large.clone())).await, "a large value");
    let all = works(store.kv_get(&name, "").await, "read");
    assert_eq!(all.len(), 2501);
    assert!(all["large"] == large, "the large value came back changed");
    assert_eq!(works(store.kv_get(&name, "key.").await, "read").len(), 2500);
    assert_eq!(all["key.02499"], "2499");
    works(store.remove(&name).await, "remove");
}

/// Guards hold between clients.
pub async fn kv_guards_between_clients<S: Keyed + Blobs + ?Sized>(one: &S, two: &S, prefix: &str) {
    let name = object(prefix, "two.kv");
    let count = |from: u32| KvUpdate::default().expect("count", from.to_string()).set("count", (from + 1).to_string());
    works(one.kv_update(&name, KvUpdate::default().set("count", "0")).await, "create");
    for round in 0..20 {
        let (first, second) = (one.kv_update(&name, count(round)), two.kv_update(&name, count(round)));
        let (first, second) = (first.await, second.await);
        assert!(first.is_ok() != second.is_ok(), "exactly one counts on: {first:?} {second:?}");
        fails(if first.is_ok() { second } else { first }, STALE, "the slower one");
    }
    assert_eq!(works(two.kv_get(&name, "").await, "read")["count"], "20");
    works(two.remove(&name).await, "remove");
}
