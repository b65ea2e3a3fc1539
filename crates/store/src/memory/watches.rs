//! Watches and notifications between the clients of a memory cluster.
//!
//! A handler runs on the caller's runtime, never while the cluster is locked, so it may use the store.
use super::state::{Object, Watch};
use crate::{NotifyReply, StoreError, StoreErrorKind, StoreFuture, WatchHandler, WatchId, Watcher};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn add(
    object: &mut Object,
    watcher: Watcher,
    handler: Arc<dyn WatchHandler>,
) -> Result<WatchId, StoreErrorKind> {
    let id = WatchId(watcher.cookie);
    object.watches.push(Watch { watcher, handler });
    Ok(id)
}

/// Tells the owners of ended watches, then answers the operation that ended them.
pub(super) fn tell_lost(ended: StoreFuture<Vec<Watch>>, why: StoreError) -> StoreFuture<()> {
    started(async move {
        for watch in ended.await? {
            watch.handler.lost(why.clone());
        }
        Ok(())
    })
}

/// Delivers a notification to all watches at once and waits at most `timeout` for their answers.
pub(super) fn notify(
    watches: StoreFuture<Vec<Watch>>,
    notifier: u64,
    payload: Bytes,
    timeout: Duration,
) -> StoreFuture<NotifyReply> {
    started(async move {
        let answers = watches.await?.into_iter().map(|watch| {
            let answer = watch.handler.notified(notifier, payload.clone());
            async move { (watch.watcher, tokio::time::timeout(timeout, answer).await) }
        });
        let mut reply = NotifyReply::default();
        for (watcher, answer) in join_all(answers).await {
            match answer {
                Ok(answer) => reply.acks.push((watcher, answer)),
                Err(_) => reply.timed_out.push(watcher),
            }
        }
        Ok(reply)
    })
}

/// Starts `work` in the call when there is a runtime, so that it happens even if nobody polls the future.
fn started<T: Send + 'static>(work: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> StoreFuture<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return work.boxed();
    };
    let task = runtime.spawn(work);
    async move {
        task.await.unwrap_or_else(|failure| {
            let error = StoreError::new(StoreErrorKind::Io, "notify", "a watch");
            Err(error.with_detail(failure.to_string()))
        })
    }
    .boxed()
}
