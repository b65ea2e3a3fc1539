//! The directory store: objects as files of a directory on a local file system, for one host, without any daemon.
//!
//! Owns: the trait's promises on files. An operation that succeeded survives a power cut; operations on one object take
//! effect in the order of the calls; several processes may use one directory at the same time, and what one of them
//! fences or locks is kept from all others. Does not own: network file systems (their locks and flushes promise less).
//!
//! Where it differs from RADOS: appends are not atomic under a power cut (the last append of an open log object may be
//! torn); a killed process can do nothing any more, so its locks and watches end with it; a blocklisted client can still
//! read; what passes in a full pool has a reserve here, which can be used up; a read may see an append of another process
//! that is not durable yet, a tail never does.
//!
//! docs/FORMAT-dir-store.md describes the files, docs/adr/0002-directory-store.md why they are as they are.
mod advisory;
mod clients;
mod fault;
mod files;
mod format;
mod heart;
mod hub;
mod keyed_object;
mod log_object;
mod message;
mod names;
mod object_file;
mod presence;
mod rescue;
mod room;
mod root;
mod strands;
mod watching;

use crate::{
    Append, KvMap, KvPresence, KvUpdate, LockRequest, LockState, Locker, LogTail, NotifyReply, ObjectName, ObjectStore,
    PoolId, StoreError, StoreErrorKind, StoreFuture, StoreLimits, StoreRoom, WatchHandler, WatchId, Watcher,
};
use bytes::Bytes;
use fault::{Fault, Outcome};
use format::{Kind, Prelude};
use futures::FutureExt;
use object_file::{ObjectFile, OpenFiles};
use room::Urgency;
use root::Root;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use strands::Strands;
use tokio::sync::oneshot;
use watching::Watching;

/// Largest append or put, bytes; what is larger fails `Invalid`.
pub const DIR_MAX_WRITE: u32 = 64 << 20;

/// Threads that wait for the disk; so many objects can be flushed or read at the same time.
const IO_THREADS: usize = 8;

/// The strand of operations that belong to no object. No object can have this name.
const NO_OBJECT: &str = "";

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A directory as an object store. Each open one is a client of its own.
pub struct DirStore {
    strands: Strands<QueuedAppend>,
    shared: Arc<Shared>,
}

/// What the I/O threads use.
struct Shared {
    open: OpenFiles,
    watching: Watching,
    root: Arc<Root>,
}

struct QueuedAppend {
    append: Append,
    reply: Reply<()>,
}

impl DirStore {
    /// Opens a directory as a store; creates it when it is missing. Blocks for a few flushes the first time. `NotFound` if
    /// its parent is missing, `Invalid` if the directory has an `objects` in it that is not a store's, `Unsupported` if a
    /// newer version made it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_as(path, true)
    }

    /// Opens a store that is there. Where nothing can be written (no permission, a read-only mount, no room at all), it can
    /// be read: what would change it fails with the reason. `NotFound` if the directory is no store, `Invalid` if it has
    /// the parts of one and no marker.
    pub fn open_existing(path: &Path) -> Result<Self, StoreError> {
        Self::open_as(path, false)
    }

    /// True if the directory is a store, whatever state that is in.
    pub fn is_store(path: &Path) -> bool {
        root::is_store(path)
    }

    fn open_as(path: &Path, create: bool) -> Result<Self, StoreError> {
        let named = |fault: Fault| fault.into_error("open", &path.display().to_string());
        let root = Arc::new(Root::open(path, create).map_err(named)?);
        let watching = Watching::new(root.clone()).map_err(named)?;
        let shared = Arc::new(Shared { open: OpenFiles::default(), watching, root });
        let appends = shared.clone();
        let appender = Arc::new(move |name: &str, group: Vec<QueuedAppend>| appends.append_group(name, group));
        let strands = Strands::new(IO_THREADS, appender).map_err(|error| named(error.into()))?;
        Ok(Self { strands, shared })
    }

    /// Queues work that changes an object, or must be alone on it.
    fn write<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &ObjectName,
        work: impl FnOnce(&Shared, &str) -> Outcome<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let (work, future) = self.job(what, name, work);
        self.strands.write(&name.0, work);
        future
    }

    /// Queues work that other reads of the object may run beside.
    fn read_side<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &ObjectName,
        work: impl FnOnce(&Shared, &str) -> Outcome<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let (work, future) = self.job(what, name, work);
        self.strands.read(&name.0, work);
        future
    }

    fn job<T: Send + 'static>(
        &self,
        what: &'static str,
        name: &ObjectName,
        work: impl FnOnce(&Shared, &str) -> Outcome<T> + Send + 'static,
    ) -> (strands::Work, StoreFuture<T>) {
        let (reply, answer) = oneshot::channel();
        let (shared, object) = (self.shared.clone(), name.0.clone());
        let work = move || {
            let result = work(&shared, &object).map_err(|fault| fault.into_error(what, &object));
            // The caller may have dropped its future.
            drop(reply.send(result));
        };
        (Box::new(work), answered(answer, what, name))
    }
}

/// The future of an operation that was handed to a thread.
fn answered<T: Send + 'static>(
    answer: oneshot::Receiver<Result<T, StoreError>>,
    what: &'static str,
    name: &ObjectName,
) -> StoreFuture<T> {
    let lost = StoreError::new(StoreErrorKind::Io, what, name.0.clone()).with_detail("the operation was abandoned");
    answer.map(|answer| answer.unwrap_or(Err(lost))).boxed()
}

impl Shared {
    fn append_group(&self, name: &str, group: Vec<QueuedAppend>) {
        let (appends, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|one| (one.append, one.reply)).unzip();
        let results = log_object::append_group(&self.root, &self.open, name, &appends);
        for (reply, result) in replies.into_iter().zip(results) {
            drop(reply.send(result.map_err(|fault| fault.into_error("append", name))));
        }
    }

    fn put(&self, name: &str, data: &[u8]) -> Outcome<()> {
        let path = self.root.object(name)?;
        if path.exists() {
            return Err(StoreErrorKind::Exists.into());
        }
        let (data_offset, data_len) = (format::offset_of(Kind::Whole), data.len() as u64);
        let mut head = vec![0; data_offset as usize];
        let prelude = Prelude { kind: Kind::Whole, data_offset, data_len, data_crc: 0 }.encode();
        head[..prelude.len()].copy_from_slice(&prelude);
        self.root.create(&path, &[&head, data], Urgency::Urgent)
    }

    fn remove(&self, name: &str) -> Outcome<()> {
        self.open.forget(name);
        self.root.remove(&self.root.object(name)?)?;
        self.watching.object_removed(name);
        Ok(())
    }

    fn kv_get(&self, name: &str, prefix: &str) -> Outcome<KvMap> {
        let mut map = keyed_object::get(&self.root, &self.root.object(name)?)?;
        map.retain(|key, _| key.starts_with(prefix));
        Ok(map)
    }

    fn kv_update(&self, name: &str, update: &KvUpdate) -> Outcome<()> {
        // What makes something new can wait until there is room; what changes something may be what frees it.
        let is_urgent = update.presence == KvPresence::MustExist || update.set.is_empty();
        let urgency = if is_urgent { Urgency::Urgent } else { Urgency::Ordinary };
        keyed_object::modify(&self.root, &self.root.object(name)?, urgency, |present| Ok(update.apply(present)?))
    }
}

impl fmt::Debug for DirStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirStore({} as {})", self.shared.root.path().display(), self.shared.root.clients.name())
    }
}

/// What no object can ever hold is refused before it is queued.
fn check_append(append: &Append) -> Result<(), StoreErrorKind> {
    let end = append.at.checked_add(append.len()).ok_or(StoreErrorKind::Invalid)?;
    let fits = append.len() <= u64::from(DIR_MAX_WRITE) && u64::from(append.summary_len) <= end;
    if fits { Ok(()) } else { Err(StoreErrorKind::Invalid) }
}

fn refused<T: Send + 'static>(kind: StoreErrorKind, what: &'static str, name: &str) -> StoreFuture<T> {
    futures::future::ready(Err(StoreError::new(kind, what, name))).boxed()
}

impl ObjectStore for DirStore {
    fn limits(&self) -> StoreLimits {
        StoreLimits { append_alignment: 1, max_write: DIR_MAX_WRITE, atomic_appends: false, keyed_objects: true }
    }

    fn pool_id(&self) -> PoolId {
        PoolId(-1)
    }

    fn pool_name(&self) -> String {
        self.shared.root.path().display().to_string()
    }

    fn open_pool(&self, pool: PoolId) -> StoreFuture<Arc<dyn ObjectStore>> {
        refused(StoreErrorKind::Unsupported, "open_pool", &format!("pool {}", pool.0))
    }

    fn append(&self, name: &ObjectName, append: Append) -> StoreFuture<()> {
        if let Err(kind) = check_append(&append) {
            return refused(kind, "append", &name.0);
        }
        let (reply, answer) = oneshot::channel();
        self.strands.append(&name.0, QueuedAppend { append, reply });
        answered(answer, "append", name)
    }

    fn log_tail(&self, name: &ObjectName) -> StoreFuture<LogTail> {
        // Alone, because its lock belongs to the open file that reads share.
        self.write("log_tail", name, |shared, name| log_object::tail(&shared.root, &shared.open, name))
    }

    fn fence(&self, name: &ObjectName, epoch: u64) -> StoreFuture<LogTail> {
        self.write("fence", name, move |shared, name| log_object::fence(&shared.root, &shared.open, name, epoch))
    }

    fn read(&self, name: &ObjectName, offset: u64, len: u64) -> StoreFuture<Bytes> {
        self.read_side("read", name, move |shared, name| {
            shared.open.with(&shared.root, name, |file| file.read(offset, len))
        })
    }

    fn put(&self, name: &ObjectName, data: Bytes) -> StoreFuture<()> {
        if data.len() as u64 > u64::from(DIR_MAX_WRITE) {
            return refused(StoreErrorKind::Invalid, "put", &name.0);
        }
        self.write("put", name, move |shared, name| shared.put(name, &data))
    }

    fn stat(&self, name: &ObjectName) -> StoreFuture<u64> {
        self.read_side("stat", name, |shared, name| shared.open.with(&shared.root, name, ObjectFile::data_len))
    }

    fn remove(&self, name: &ObjectName) -> StoreFuture<()> {
        self.write("remove", name, |shared, name| shared.remove(name))
    }

    fn list(&self, prefix: &str) -> StoreFuture<Vec<ObjectName>> {
        let prefix = prefix.to_owned();
        self.read_side("list", &ObjectName::from(NO_OBJECT), move |shared, _| {
            Ok(shared.root.list(&prefix)?.into_iter().map(ObjectName).collect())
        })
    }

    fn kv_get(&self, name: &ObjectName, prefix: &str) -> StoreFuture<KvMap> {
        let prefix = prefix.to_owned();
        self.read_side("kv_get", name, move |shared, name| shared.kv_get(name, &prefix))
    }

    fn kv_update(&self, name: &ObjectName, update: KvUpdate) -> StoreFuture<()> {
        self.write("kv_update", name, move |shared, name| shared.kv_update(name, &update))
    }

    fn lock(&self, name: &ObjectName, request: LockRequest) -> StoreFuture<()> {
        self.write("lock", name, move |shared, name| {
            let clients = &shared.root.clients;
            advisory::modify(&shared.root, name, |state| {
                state.locks.acquire(&request, &clients.name(), &clients.addr())
            })
        })
    }

    fn unlock(&self, name: &ObjectName, lock: &str, cookie: &str) -> StoreFuture<()> {
        let (lock, cookie) = (lock.to_owned(), cookie.to_owned());
        self.write("unlock", name, move |shared, name| {
            let client = shared.root.clients.name();
            advisory::modify(&shared.root, name, |state| state.locks.release(&lock, &client, &cookie))
        })
    }

    fn lock_state(&self, name: &ObjectName, lock: &str) -> StoreFuture<LockState> {
        let lock = lock.to_owned();
        self.read_side("lock_state", name, move |shared, name| {
            Ok(advisory::load(&shared.root, name)?.locks.state(&lock))
        })
    }

    fn break_lock(&self, name: &ObjectName, lock: &str, holder: &Locker) -> StoreFuture<()> {
        let (lock, holder) = (lock.to_owned(), holder.clone());
        self.write("break_lock", name, move |shared, name| {
            advisory::modify(&shared.root, name, |state| state.locks.release(&lock, &holder.client, &holder.cookie))
        })
    }

    fn watch(&self, name: &ObjectName, timeout: Duration, handler: Arc<dyn WatchHandler>) -> StoreFuture<WatchId> {
        let runtime = tokio::runtime::Handle::try_current().ok();
        self.write("watch", name, move |shared, name| shared.watching.watch(name, timeout, handler, runtime))
    }

    fn unwatch(&self, watch: WatchId) -> StoreFuture<()> {
        let Some(object) = self.shared.watching.object(watch) else {
            return refused(StoreErrorKind::NotFound, "unwatch", &format!("watch {}", watch.0));
        };
        self.write("unwatch", &ObjectName(object), move |shared, name| shared.watching.unwatch(name, watch))
    }

    fn notify(&self, name: &ObjectName, payload: Bytes, timeout: Duration) -> StoreFuture<NotifyReply> {
        let (reply, answer) = oneshot::channel();
        let (shared, object) = (self.shared.clone(), name.0.clone());
        self.strands.read(&name.0, Box::new(move || shared.watching.notify(&object, payload, timeout, reply)));
        answered(answer, "notify", name)
    }

    fn watchers(&self, name: &ObjectName) -> StoreFuture<Vec<Watcher>> {
        self.read_side("watchers", name, |shared, name| Ok(advisory::load(&shared.root, name)?.watchers))
    }

    fn identity(&self) -> (String, String) {
        (self.shared.root.clients.name(), self.shared.root.clients.addr())
    }

    /// For ever, whatever the duration: the client's number is not used again.
    fn blocklist(&self, addr: &str, _duration: Duration) -> StoreFuture<()> {
        let Some(client) = clients::client_at(addr) else {
            return refused(StoreErrorKind::Invalid, "blocklist", addr);
        };
        self.write("blocklist", &ObjectName::from(NO_OBJECT), move |shared, _| shared.root.clients.fence(client))
    }

    fn room(&self) -> Option<StoreRoom> {
        self.shared.root.room.known()
    }
}
