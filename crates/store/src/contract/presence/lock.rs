//! Advisory locks as one client sees them. The object exists: a store need not lock what is not there.
use crate::contract::{fails, object, works};
use crate::{Blobs, Keyed, KvUpdate, LockMode, LockRequest, LockState, Locker, ObjectName, Presence, StoreErrorKind};

const BUSY: &[StoreErrorKind] = &[StoreErrorKind::Busy];
const EXISTS: &[StoreErrorKind] = &[StoreErrorKind::Exists];
const MISSING: &[StoreErrorKind] = &[StoreErrorKind::NotFound];

pub(super) fn exclusive(cookie: &str) -> LockRequest {
    LockRequest { name: "lock".into(), cookie: cookie.into(), mode: LockMode::Exclusive, tag: String::new() }
}

pub(super) fn shared(cookie: &str, tag: &str) -> LockRequest {
    LockRequest { mode: LockMode::Shared, tag: tag.into(), ..exclusive(cookie) }
}

pub(super) async fn keyed_object(store: &(impl Keyed + ?Sized), prefix: &str, name: &str) -> ObjectName {
    let name = object(prefix, name);
    works(store.kv_update(&name, KvUpdate::default().set("a", "1")).await, "create");
    name
}

/// An exclusive lock has one holder; who holds it already is told apart from who is kept out.
pub async fn lock_is_exclusive(store: &(impl Presence + Keyed + Blobs + ?Sized), prefix: &str) {
    let name = keyed_object(store, prefix, "lock-exclusive").await;
    works(store.lock(&name, exclusive("one")).await, "lock");
    fails(store.lock(&name, exclusive("one")).await, EXISTS, "the same lock again");
    fails(store.lock(&name, exclusive("two")).await, BUSY, "another cookie");
    fails(store.lock(&name, shared("two", "")).await, BUSY, "a shared lock beside an exclusive one");
    works(store.lock(&name, LockRequest { name: "other".into(), ..exclusive("one") }).await, "another lock");
    fails(store.unlock(&name, "lock", "two").await, MISSING, "unlock of another cookie");
    works(store.unlock(&name, "lock", "one").await, "unlock");
    fails(store.unlock(&name, "lock", "one").await, MISSING, "unlock again");
    works(store.lock(&name, exclusive("two")).await, "lock after unlock");
    works(store.unlock(&name, "lock", "two").await, "unlock");
    works(store.unlock(&name, "other", "one").await, "unlock");
    works(store.remove(&name).await, "remove");
}

/// A shared lock has many holders with one tag.
pub async fn lock_is_shared(store: &(impl Presence + Keyed + Blobs + ?Sized), prefix: &str) {
    let name = keyed_object(store, prefix, "lock-shared").await;
    works(store.lock(&name, shared("one", "tag")).await, "lock");
    works(store.lock(&name, shared("two", "tag")).await, "second holder");
    fails(store.lock(&name, shared("two", "tag")).await, EXISTS, "second holder again");
    fails(store.lock(&name, shared("three", "gat")).await, BUSY, "another tag");
    fails(store.lock(&name, exclusive("three")).await, BUSY, "an exclusive lock beside shared ones");
    works(store.unlock(&name, "lock", "one").await, "unlock");
    fails(store.lock(&name, exclusive("three")).await, BUSY, "one holder is left");
    works(store.unlock(&name, "lock", "two").await, "unlock");
    works(store.lock(&name, exclusive("three")).await, "nobody is left");
    works(store.unlock(&name, "lock", "three").await, "unlock");
    works(store.remove(&name).await, "remove");
}

/// The state names mode, tag and every holder; a free lock has none.
pub async fn lock_state_shows_holders(store: &(impl Presence + Keyed + Blobs + ?Sized), prefix: &str) {
    let name = keyed_object(store, prefix, "lock-state").await;
    let (client, addr) = store.identity();
    let free = works(store.lock_state(&name, "lock").await, "state of a lock never taken");
    assert_eq!(free.lockers, []);
    works(store.lock(&name, shared("one", "tag")).await, "lock");
    works(store.lock(&name, shared("two", "tag")).await, "lock");
    let mut state = works(store.lock_state(&name, "lock").await, "state");
    state.lockers.sort_by(|one, two| one.cookie.cmp(&two.cookie));
    let holder = |cookie: &str| Locker { client: client.clone(), cookie: cookie.into(), addr: addr.clone() };
    let expected = LockState { exclusive: false, tag: "tag".into(), lockers: vec![holder("one"), holder("two")] };
    assert_eq!(state, expected);
    works(store.unlock(&name, "lock", "one").await, "unlock");
    works(store.unlock(&name, "lock", "two").await, "unlock");
    assert_eq!(works(store.lock_state(&name, "lock").await, "state").lockers, []);
    works(store.lock(&name, exclusive("three")).await, "lock");
    let state = works(store.lock_state(&name, "lock").await, "state");
    assert_eq!(state, LockState { exclusive: true, tag: String::new(), lockers: vec![holder("three")] });
    works(store.unlock(&name, "lock", "three").await, "unlock");
    works(store.remove(&name).await, "remove");
}

/// A lock is broken for exactly the holder that was named.
pub async fn lock_can_be_broken(store: &(impl Presence + Keyed + Blobs + ?Sized), prefix: &str) {
    let name = keyed_object(store, prefix, "lock-break").await;
    works(store.lock(&name, exclusive("one")).await, "lock");
    let state = works(store.lock_state(&name, "lock").await, "state");
    let holder = state.lockers.first().expect("a holder").clone();
    let other_cookie = Locker { cookie: "two".into(), ..holder.clone() };
    fails(store.break_lock(&name, "lock", &other_cookie).await, MISSING, "break for another cookie");
    let other_client = Locker { client: "client.1".into(), ..holder.clone() };
    fails(store.break_lock(&name, "lock", &other_client).await, MISSING, "break for another client");
    fails(store.break_lock(&name, "other", &holder).await, MISSING, "break of another lock");
    works(store.break_lock(&name, "lock", &holder).await, "break");
    fails(store.break_lock(&name, "lock", &holder).await, MISSING, "break again");
    fails(store.unlock(&name, "lock", "one").await, MISSING, "unlock of a broken lock");
    works(store.lock(&name, exclusive("two")).await, "lock after break");
    fails(store.break_lock(&name, "lock", &holder).await, MISSING, "break for a holder of before");
    works(store.unlock(&name, "lock", "two").await, "unlock");
    works(store.remove(&name).await, "remove");
}
