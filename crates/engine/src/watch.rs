//! The watch that every opener holds on the header: it shows that the opener lives, and brings news of header changes.
use crate::limits::NOTIFY_TIMEOUT;
use crate::objects::Objects;
use crate::{Result, UpdateEvent};
use bytes::Bytes;
use futures::future::BoxFuture;
use lsd_core::format::notice;
use lsd_store::{StoreError, WatchHandler, WatchId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

type Listener = Arc<dyn Fn(UpdateEvent) + Send + Sync>;

/// What a watch tells the rest of the handle.
#[derive(Default)]
pub(crate) struct News {
    listeners: Mutex<(u64, BTreeMap<u64, Listener>)>,
    /// The header changed; somebody should read it again.
    pub(crate) header_changed: Notify,
    /// The watch broke; somebody should watch again.
    pub(crate) watch_lost: Notify,
}

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("News")
    }
}

impl News {
    pub(crate) fn add(&self, listener: Listener) -> u64 {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.0 += 1;
        let number = listeners.0;
        listeners.1.insert(number, listener);
        number
    }

    pub(crate) fn remove(&self, number: u64) {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&number);
    }

    /// Calls every listener; none of them is called under the lock.
    pub(crate) fn publish(&self, event: UpdateEvent) {
        let listeners: Vec<Listener> =
            self.listeners.lock().unwrap_or_else(PoisonError::into_inner).1.values().cloned().collect();
        listeners.iter().for_each(|listener| listener(event));
    }
}

struct Handler(Arc<News>);

impl WatchHandler for Handler {
    fn notified(&self, _notifier: u64, payload: Bytes) -> BoxFuture<'static, Bytes> {
        // Notices that this version does not know are acknowledged and have no effect.
        if notice::decode(&payload) == Ok(notice::Notice::HeaderChanged) {
            self.0.header_changed.notify_one();
        }
        Box::pin(std::future::ready(Bytes::new()))
    }

    fn lost(&self, _error: StoreError) {
        self.0.watch_lost.notify_one();
    }
}

pub(crate) async fn watch(objects: &Objects, news: &Arc<News>, timeout: Duration) -> Result<WatchId> {
    Ok(objects.meta.watch(&objects.header(), timeout, Arc::new(Handler(news.clone()))).await?)
}

/// Tells every other opener that the header changed. One that does not answer finds out when it looks; so a failed
/// notice is no error.
pub(crate) async fn announce(objects: &Objects) {
    let payload = Bytes::from(notice::encode(notice::Notice::HeaderChanged));
    let _ = objects.meta.notify(&objects.header(), payload, NOTIFY_TIMEOUT).await;
}
