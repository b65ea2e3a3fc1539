//! The directory store.
use crate::{
    Append, KvMap, KvUpdate, LockRequest, LockState, Locker, LogTail, NotifyReply, ObjectName, ObjectStore, PoolId,
    StoreError, StoreErrorKind, StoreFuture, StoreLimits, WatchHandler, WatchId, Watcher,
};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A directory as an object store. It cannot be opened yet.
#[derive(Debug)]
pub enum DirStore {}

impl DirStore {
    /// Opens a directory as a store; creates it when it is missing.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Err(StoreError::new(StoreErrorKind::Unsupported, "open", path.display().to_string()))
    }
}

impl ObjectStore for DirStore {
    fn limits(&self) -> StoreLimits {
        match *self {}
    }

    fn pool_id(&self) -> PoolId {
        match *self {}
    }

    fn pool_name(&self) -> String {
        match *self {}
    }

    fn open_pool(&self, _pool: PoolId) -> StoreFuture<Arc<dyn ObjectStore>> {
        match *self {}
    }

    fn append(&self, _name: &ObjectName, _append: Append) -> StoreFuture<()> {
        match *self {}
    }

    fn log_tail(&self, _name: &ObjectName) -> StoreFuture<LogTail> {
        match *self {}
    }

    fn fence(&self, _name: &ObjectName, _epoch: u64) -> StoreFuture<LogTail> {
        match *self {}
    }

    fn read(&self, _name: &ObjectName, _offset: u64, _len: u64) -> StoreFuture<Bytes> {
        match *self {}
    }

    fn put(&self, _name: &ObjectName, _data: Bytes) -> StoreFuture<()> {
        match *self {}
    }

    fn stat(&self, _name: &ObjectName) -> StoreFuture<u64> {
        match *self {}
    }

    fn remove(&self, _name: &ObjectName) -> StoreFuture<()> {
        match *self {}
    }

    fn list(&self, _prefix: &str) -> StoreFuture<Vec<ObjectName>> {
        match *self {}
    }

    fn kv_get(&self, _name: &ObjectName, _prefix: &str) -> StoreFuture<KvMap> {
        match *self {}
    }

    fn kv_update(&self, _name: &ObjectName, _update: KvUpdate) -> StoreFuture<()> {
        match *self {}
    }

    fn lock(&self, _name: &ObjectName, _request: LockRequest) -> StoreFuture<()> {
        match *self {}
    }

    fn unlock(&self, _name: &ObjectName, _lock: &str, _cookie: &str) -> StoreFuture<()> {
        match *self {}
    }

    fn lock_state(&self, _name: &ObjectName, _lock: &str) -> StoreFuture<LockState> {
        match *self {}
    }

    fn break_lock(&self, _name: &ObjectName, _lock: &str, _holder: &Locker) -> StoreFuture<()> {
        match *self {}
    }

    fn watch(&self, _name: &ObjectName, _timeout: Duration, _handler: Arc<dyn WatchHandler>) -> StoreFuture<WatchId> {
        match *self {}
    }

    fn unwatch(&self, _watch: WatchId) -> StoreFuture<()> {
        match *self {}
    }

    fn notify(&self, _name: &ObjectName, _payload: Bytes, _timeout: Duration) -> StoreFuture<NotifyReply> {
        match *self {}
    }

    fn watchers(&self, _name: &ObjectName) -> StoreFuture<Vec<Watcher>> {
        match *self {}
    }

    fn identity(&self) -> (String, String) {
        match *self {}
    }

    fn blocklist(&self, _addr: &str, _duration: Duration) -> StoreFuture<()> {
        match *self {}
    }
}
