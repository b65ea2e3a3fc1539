//! What two clients see of each other's locks and watches.
use super::lock::{exclusive, keyed_object, shared};
use super::watch::{Listener, PATIENCE, client_number};
use crate::contract::{fails, works};
use crate::{Blobs, Keyed, Presence, StoreErrorKind};
use bytes::Bytes;

const BUSY: &[StoreErrorKind] = &[StoreErrorKind::Busy];
const MISSING: &[StoreErrorKind] = &[StoreErrorKind::NotFound];

/// Two clients have two names and two addresses.
pub fn clients_differ<S: Presence + ?Sized>(one: &S, two: &S) {
    assert_ne!(one.identity().0, two.identity().0);
    assert_ne!(one.identity().1, two.identity().1);
}

/// The holder's lock keeps the other client out, under any cookie, until it is given back.
pub async fn lock_keeps_the_other_client_out<S: Presence + Keyed + Blobs + ?Sized>(one: &S, two: &S, prefix: &str) {
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
pub async fn lock_is_shared_between_clients<S: Presence + Keyed + Blobs + ?Sized>(one: &S, two: &S, prefix: &str) {
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
pub async fn lock_of_the_other_client_can_be_broken<S: Presence + Keyed + Blobs + ?Sized>(
    one: &S,
    two: &S,
    prefix: &str,
) {
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
pub async fn notify_reaches_the_other_client<S: Presence + Keyed + Blobs + ?Sized>(one: &S, two: &S, prefix: &str) {
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
