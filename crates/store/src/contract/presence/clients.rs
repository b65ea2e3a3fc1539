//! What two clients see of each other.
use super::lock::{exclusive, keyed_object, shared};
use super::watch::{Listener, PATIENCE, client_number};
use crate::contract::{Store, data, fails, object, open_append, works};
use crate::{KvUpdate, StoreErrorKind};
use bytes::Bytes;

const STALE: &[StoreErrorKind] = &[StoreErrorKind::Stale];
const BUSY: &[StoreErrorKind] = &[StoreErrorKind::Busy];
const MISSING: &[StoreErrorKind] = &[StoreErrorKind::NotFound];

/// Two clients have two names and two addresses.
pub fn clients_differ(one: &Store, two: &Store) {
    assert_ne!(one.identity().0, two.identity().0);
    assert_ne!(one.identity().1, two.identity().1);
    assert_eq!(one.pool_id(), two.pool_id());
}

/// After the new owner's fence the old owner's appends fail, those in flight included.
pub async fn fence_stops_the_other_client(one: &Store, two: &Store, prefix: &str) {
    let name = object(prefix, "two.fence");
    let bytes = data(one, 1, 1);
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

/// What one client made, the other sees; what it removed, the other does not.
pub async fn put_and_remove_are_seen_by_the_other_client(one: &Store, two: &Store, prefix: &str) {
    let name = object(prefix, "two.put");
    let bytes = data(one, 1, 1);
    works(one.put(&name, bytes.clone()).await, "put");
    assert_eq!(works(two.read(&name, 0, 1 << 20).await, "read"), bytes);
    fails(two.put(&name, bytes.clone()).await, &[StoreErrorKind::Exists], "put of the other");
    works(two.remove(&name).await, "remove of the other");
    fails(one.read(&name, 0, 1).await, MISSING, "read after it");
    works(one.append(&name, open_append(1, 0, &bytes)).await, "append under the same name");
    assert_eq!(works(two.log_tail(&name).await, "tail").len, bytes.len() as u64);
    works(two.remove(&name).await, "remove of the other");
    let late = one.append(&name, open_append(1, bytes.len() as u64, &bytes)).await;
    fails(late, &[StoreErrorKind::Stale], "append after it");
    fails(one.stat(&name).await, MISSING, "the append made nothing");
}

/// Guards hold between clients.
pub async fn kv_guards_between_clients(one: &Store, two: &Store, prefix: &str) {
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

/// The holder's lock keeps the other client out, under any cookie, until it is given back.
pub async fn lock_keeps_the_other_client_out(one: &Store, two: &Store, prefix: &str) {
    let name = keyed_object(one, prefix, "two.lock").await;
    works(one.lock(&name, exclusive("cookie")).await, "lock");
    fails(two.lock(&name, exclusive("cookie")).await, BUSY, "the same cookie of another client");
    fails(two.lock(&name, shared("other", "")).await, BUSY, "a shared lock");
    fails(two.unlock(&name, "lock", "cookie").await, MISSING, "unlock of another client's lock");
    let state = works(two.lock_state(&name, "lock").await, "state");
    assert_eq!(state.lockers.len(), 1);
    assert_eq!((state.lockers[0].client.clone(), state.lockers[0].addr.clone()), one.identity());
    works(one.unlock(&name, "lock", "cookie").await, "unlock");
    works(two.lock(&name, exclusive("cookie")).await, "lock of the other");
    works(two.unlock(&name, "lock", "cookie").await, "unlock");
    works(one.remove(&name).await, "remove");
}

/// Two clients may hold a shared lock under the same cookie.
pub async fn lock_is_shared_between_clients(one: &Store, two: &Store, prefix: &str) {
    let name = keyed_object(one, prefix, "two.shared").await;
    works(one.lock(&name, shared("cookie", "tag")).await, "lock");
    works(two.lock(&name, shared("cookie", "tag")).await, "lock of the other");
    assert_eq!(works(one.lock_state(&name, "lock").await, "state").lockers.len(), 2);
    works(one.unlock(&name, "lock", "cookie").await, "unlock");
    let state = works(one.lock_state(&name, "lock").await, "state");
    assert_eq!(state.lockers.iter().map(|locker| locker.client.clone()).collect::<Vec<_>>(), [two.identity().0]);
    works(two.unlock(&name, "lock", "cookie").await, "unlock");
    works(one.remove(&name).await, "remove");
}

/// A lock can be taken away from another client, which then does not hold it.
pub async fn lock_of_the_other_client_can_be_broken(one: &Store, two: &Store, prefix: &str) {
    let name = keyed_object(one, prefix, "two.break").await;
    works(one.lock(&name, exclusive("cookie")).await, "lock");
    let holder = works(two.lock_state(&name, "lock").await, "state").lockers.remove(0);
    works(two.break_lock(&name, "lock", &holder).await, "break");
    works(two.lock(&name, exclusive("mine")).await, "lock after break");
    fails(one.unlock(&name, "lock", "cookie").await, MISSING, "unlock by the broken holder");
    fails(one.lock(&name, exclusive("cookie")).await, BUSY, "lock by the broken holder");
    works(two.unlock(&name, "lock", "mine").await, "unlock");
    works(one.remove(&name).await, "remove");
}

/// A notification reaches the watches of both clients, and each answer bears its watcher's name.
pub async fn notify_reaches_the_other_client(one: &Store, two: &Store, prefix: &str) {
    let name = keyed_object(one, prefix, "two.watch").await;
    let (mine, theirs) = (Listener::new(Some("mine")), Listener::new(Some("theirs")));
    let first = works(one.watch(&name, PATIENCE, mine.clone()).await, "watch");
    let second = works(two.watch(&name, PATIENCE, theirs.clone()).await, "watch of the other");
    for (notifier, payload) in [(one, "a"), (two, "b")] {
        let reply = works(notifier.notify(&name, payload.into(), PATIENCE).await, "notify");
        assert_eq!(reply.timed_out, []);
        let mut acks: Vec<_> =
            reply.acks.iter().map(|(watcher, answer)| (watcher.client, watcher.cookie, answer.clone())).collect();
        let mut expected = vec![
            (client_number(one), first.0, Bytes::from(format!("mine{payload}"))),
            (client_number(two), second.0, Bytes::from(format!("theirs{payload}"))),
        ];
        acks.sort();
        expected.sort();
        assert_eq!(acks, expected);
    }
    let heard = [(client_number(one), Bytes::from("a")), (client_number(two), Bytes::from("b"))];
    assert_eq!((mine.heard(), theirs.heard()), (heard.to_vec(), heard.to_vec()));
    works(one.unwatch(first).await, "unwatch");
    works(two.unwatch(second).await, "unwatch");
    works(one.remove(&name).await, "remove");
}
