//! A client's way to the store with a gate in it: chosen operations wait, and arrive late or never, as packets do.
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use lsd_store::{
    Append, Blobs, Keyed, KvMap, KvUpdate, LockRequest, LockState, Locker, LogTail, Logs, NotifyReply, ObjectName,
    ObjectStore, PoolId, Pools, Presence, StoreError, StoreErrorKind, StoreFuture, StoreLimits, StoreRoom,
    WatchHandler, WatchId, Watcher,
};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::oneshot;

/// What the gate can stop; everything else passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// The first append to an object.
    Create,
    Append,
    /// At the tail of an object.
    Look,
    Fence,
    Read,
    Update,
    /// The values of a keyed object.
    Values,
    Remove,
    /// Giving a lock back.
    Unlock,
    /// Taking a lock.
    Lock,
}

type Stops = Box<dyn FnMut(Op, &str) -> bool + Send>;
type Rooms = Box<dyn Fn() -> StoreRoom + Send>;

/// Operations that wait; dropped they are lost.
#[derive(Default)]
pub struct Late(Vec<Operation>);

/// Called with whether the caller hears the answer.
type Operation = Box<dyn FnOnce(bool) + Send>;

impl Late {
    /// They arrive, in the order of the calls.
    pub fn arrive(self) {
        self.0.into_iter().for_each(|operation| operation(true));
    }

    /// They arrive, and nobody hears the answers.
    pub fn arrive_unheard(self) {
        self.0.into_iter().for_each(|operation| operation(false));
    }

    /// The first arrives, but its answer is lost, and the last is lost itself; the others arrive.
    pub fn arrive_without_the_last_and_the_first_answer(mut self) {
        drop(self.0.pop());
        self.0.into_iter().enumerate().for_each(|(index, operation)| operation(index > 0));
    }
}

#[derive(Default)]
struct State {
    stops: Option<Stops>,
    waiting: Late,
    room: Option<Rooms>,
    /// The next append is a bug: it panics.
    panics: bool,
    /// How many notices there were.
    notices: usize,
    /// They go nowhere.
    mute: bool,
    handlers: Vec<Arc<dyn WatchHandler>>,
}

/// A store whose operations take effect inside the call (the memory store), with a gate before it.
pub struct Gate {
    store: Arc<dyn ObjectStore>,
    state: Mutex<State>,
    /// Notices of others do not arrive.
    deaf: Arc<AtomicBool>,
}

/// A handler behind the gate.
struct Ear {
    handler: Arc<dyn WatchHandler>,
    deaf: Arc<AtomicBool>,
}

impl WatchHandler for Ear {
    fn notified(&self, notifier: u64, payload: Bytes) -> BoxFuture<'static, Bytes> {
        match self.deaf.load(Ordering::Relaxed) {
            true => Box::pin(std::future::pending()),
            false => self.handler.notified(notifier, payload),
        }
    }

    fn lost(&self, error: StoreError) {
        self.handler.lost(error);
    }
}

impl Gate {
    pub fn new(store: Arc<dyn ObjectStore>) -> Arc<Gate> {
        Arc::new(Gate { store, state: Mutex::default(), deaf: Arc::default() })
    }

    /// From now on the operations that `stops` names wait at the gate.
    pub fn close(&self, stops: impl FnMut(Op, &str) -> bool + Send + 'static) {
        self.state().stops = Some(Box::new(stops));
    }

    /// What waits arrives, in the order of the calls, and nothing waits any more.
    pub fn open(&self) {
        let mut state = self.state();
        state.stops = None;
        let late = std::mem::take(&mut state.waiting);
        drop(state);
        late.arrive();
    }

    /// What waits, for the caller to let it arrive or be lost.
    pub fn take(&self) -> Late {
        std::mem::take(&mut self.state().waiting)
    }

    /// How many operations wait.
    pub fn waiting(&self) -> usize {
        self.state().waiting.0.len()
    }

    /// Returns when `count` operations wait. Panics if they do not come.
    pub async fn until_waiting(&self, count: usize) {
        for _ in 0..10_000 {
            if self.waiting() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{} operations wait at the gate instead of {count}", self.waiting());
    }

    /// The next append panics, as a bug in the store or above it would.
    pub fn panic_at_append(&self) {
        self.state().panics = true;
    }

    pub fn notices(&self) -> usize {
        self.state().notices
    }

    /// This client is told that its watches broke.
    pub fn lose_watches(&self) {
        let handlers = std::mem::take(&mut self.state().handlers);
        for handler in handlers {
            handler.lost(StoreError::new(StoreErrorKind::TimedOut, "watch", "header"));
        }
    }

    /// Whether nobody hears from this client.
    pub fn mute(&self, mute: bool) {
        self.state().mute = mute;
    }

    /// Whether this client hears nothing of the others, though they see that it is there.
    pub fn deafen(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::Relaxed);
    }

    /// From now on the store says how much room it has.
    pub fn set_room(&self, room: impl Fn() -> StoreRoom + Send + 'static) {
        self.state().room = Some(Box::new(room));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn guarded<T: Send + 'static>(
        &self,
        op: Op,
        name: &ObjectName,
        operation: impl FnOnce(&dyn ObjectStore) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let mut state = self.state();
        if !state.stops.as_mut().is_some_and(|stops| stops(op, &name.0)) {
            drop(state);
            return operation(self.store.as_ref());
        }
        let (sender, receiver) = oneshot::channel();
        let store = self.store.clone();
        // The caller may be gone by then: the operation takes effect all the same.
        state.waiting.0.push(Box::new(move |is_heard| {
            let answer = operation(store.as_ref());
            if is_heard {
                drop(sender.send(answer));
            }
        }));
        let lost = StoreError::new(StoreErrorKind::TimedOut, "gate", name.0.clone());
        async move {
            match receiver.await {
                Ok(answer) => answer.await,
                Err(_) => Err(lost),
            }
        }
        .boxed()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({:?})", self.store)
    }
}

impl Pools for Gate {
    fn limits(&self) -> StoreLimits {
        self.store.limits()
    }

    fn pool_id(&self) -> PoolId {
        self.store.pool_id()
    }

    fn pool_name(&self) -> String {
        self.store.pool_name()
    }

    fn room(&self) -> Option<StoreRoom> {
        self.state().room.as_ref().map(|room| room())
    }

    fn open_pool(&self, pool: PoolId) -> StoreFuture<Arc<dyn ObjectStore>> {
        self.store.open_pool(pool)
    }

    fn list(&self, prefix: &str) -> StoreFuture<Vec<ObjectName>> {
        self.store.list(prefix)
    }
}

impl Blobs for Gate {
    fn read(&self, name: &ObjectName, offset: u64, len: u64) -> StoreFuture<Bytes> {
        let object = name.clone();
        self.guarded(Op::Read, name, move |store| store.read(&object, offset, len))
    }

    fn put(&self, name: &ObjectName, data: Bytes) -> StoreFuture<()> {
        self.store.put(name, data)
    }

    fn stat(&self, name: &ObjectName) -> StoreFuture<u64> {
        self.store.stat(name)
    }

    fn remove(&self, name: &ObjectName) -> StoreFuture<()> {
        let object = name.clone();
        self.guarded(Op::Remove, name, move |store| store.remove(&object))
    }
}

impl Logs for Gate {
    fn append(&self, name: &ObjectName, append: Append) -> StoreFuture<()> {
        let panics = std::mem::take(&mut self.state().panics);
        assert!(!panics, "a bug");
        let op = if append.at == 0 { Op::Create } else { Op::Append };
        let object = name.clone();
        self.guarded(op, name, move |store| store.append(&object, append))
    }

    fn log_tail(&self, name: &ObjectName) -> StoreFuture<LogTail> {
        let object = name.clone();
        self.guarded(Op::Look, name, move |store| store.log_tail(&object))
    }

    fn fence(&self, name: &ObjectName, epoch: u64) -> StoreFuture<LogTail> {
        let object = name.clone();
        self.guarded(Op::Fence, name, move |store| store.fence(&object, epoch))
    }
}

impl Keyed for Gate {
    fn kv_get(&self, name: &ObjectName, prefix: &str) -> StoreFuture<KvMap> {
        let (object, prefix) = (name.clone(), prefix.to_owned());
        self.guarded(Op::Values, name, move |store| store.kv_get(&object, &prefix))
    }

    fn kv_update(&self, name: &ObjectName, update: KvUpdate) -> StoreFuture<()> {
        let object = name.clone();
        self.guarded(Op::Update, name, move |store| store.kv_update(&object, update))
    }
}

impl Presence for Gate {
    fn lock(&self, name: &ObjectName, request: LockRequest) -> StoreFuture<()> {
        let object = name.clone();
        self.guarded(Op::Lock, name, move |store| store.lock(&object, request))
    }

    fn unlock(&self, name: &ObjectName, lock: &str, cookie: &str) -> StoreFuture<()> {
        let (object, lock, cookie) = (name.clone(), lock.to_owned(), cookie.to_owned());
        self.guarded(Op::Unlock, name, move |store| store.unlock(&object, &lock, &cookie))
    }

    fn lock_state(&self, name: &ObjectName, lock: &str) -> StoreFuture<LockState> {
        self.store.lock_state(name, lock)
    }

    fn break_lock(&self, name: &ObjectName, lock: &str, holder: &Locker) -> StoreFuture<()> {
        self.store.break_lock(name, lock, holder)
    }

    fn watch(&self, name: &ObjectName, timeout: Duration, handler: Arc<dyn WatchHandler>) -> StoreFuture<WatchId> {
        self.state().handlers.push(handler.clone());
        self.store.watch(name, timeout, Arc::new(Ear { handler, deaf: self.deaf.clone() }))
    }

    fn unwatch(&self, watch: WatchId) -> StoreFuture<()> {
        self.store.unwatch(watch)
    }

    fn notify(&self, name: &ObjectName, payload: Bytes, timeout: Duration) -> StoreFuture<NotifyReply> {
        let mut state = self.state();
        state.notices += 1;
        if state.mute {
            return std::future::ready(Ok(NotifyReply::default())).boxed();
        }
        drop(state);
        self.store.notify(name, payload, timeout)
    }

    fn watchers(&self, name: &ObjectName) -> StoreFuture<Vec<Watcher>> {
        self.store.watchers(name)
    }

    fn identity(&self) -> (String, String) {
        self.store.identity()
    }

    fn blocklist(&self, addr: &str, duration: Duration) -> StoreFuture<()> {
        self.store.blocklist(addr, duration)
    }
}
