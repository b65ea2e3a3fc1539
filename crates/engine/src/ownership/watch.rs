//! The watch that every opener holds on the header: it shows that the opener lives, and brings the notices of the others.
use crate::api::limits::NOTIFY_TIMEOUT;
use crate::objects::Objects;
use crate::ownership::lock;
use crate::ownership::mailbox::{OwnerMailbox, Pending};
use crate::ownership::quiet::Quiet;
use crate::{Result, UpdateEvent};
use bytes::Bytes;
use futures::future::BoxFuture;
use lsd_core::format::Refusal;
use lsd_core::format::notice::{self, Answer, Notice};
use lsd_store::{Locker, NotifyReply, ObjectName, ObjectStore, StoreError, WatchHandler, WatchId, Watcher};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

type Listener = Arc<dyn Fn(UpdateEvent) + Send + Sync>;

/// What a watch tells the rest of the handle.
#[derive(Default)]
pub(crate) struct HeaderEvents {
    listeners: Mutex<(u64, BTreeMap<u64, Listener>)>,
    /// The header changed; somebody should read it again.
    pub(crate) header_changed: Notify,
    /// The watch broke; somebody should watch again.
    pub(crate) watch_lost: Notify,
    /// An update of the header ended so that nobody knows whether it took effect.
    pub(crate) header_in_doubt: Notify,
    /// A snapshot was removed: what it needed is to be given back.
    pub(crate) release_due: Notify,
    pub(crate) mailbox: OwnerMailbox,
    pub(crate) quiet: Quiet,
}

impl std::fmt::Debug for HeaderEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeaderEvents")
    }
}

impl HeaderEvents {
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

struct Handler(Arc<HeaderEvents>);

impl Handler {
    fn answer(&self, payload: &[u8]) -> Option<Answer> {
        let mailbox = &self.0.mailbox;
        match notice::decode(payload) {
            Ok(Notice::HeaderChanged) => self.0.header_changed.notify_one(),
            Ok(Notice::LockReleased) => {
                mailbox.lock_released.notify_waiters();
                // What the last owner wrote is there to be read.
                self.0.header_changed.notify_one();
            }
            Ok(Notice::RequestDone(_)) => mailbox.request_done.notify_waiters(),
            Ok(Notice::LockWanted) => return mailbox.lock_requested(),
            Ok(Notice::Request { id, repeated, operation }) => {
                return mailbox.requested(Pending { id, repeated, operation });
            }
            Ok(Notice::WhoIsThere) => {}
            Ok(Notice::StatsWanted) => return Some(mailbox.stats_wanted()),
            Ok(Notice::QuiesceWatched) => {
                self.0.quiet.hear_rumour();
                self.0.header_changed.notify_one();
            }
            Ok(Notice::Quiesce { id, begin }) => return self.0.quiet.asked(id, begin),
            Ok(Notice::Unquiesce(id)) => return self.0.quiet.ended(id),
            Err(error) if matches!(error.why, Refusal::Value(_) | Refusal::Version(_)) => return mailbox.unknown(),
            Err(_) => {}
        }
        None
    }
}

impl WatchHandler for Handler {
    fn notified(&self, _notifier: u64, payload: Bytes) -> BoxFuture<'static, Bytes> {
        let answer = self.answer(&payload);
        let bytes = answer.map_or_else(Bytes::new, |answer| notice::encode_answer(&answer).into());
        Box::pin(std::future::ready(bytes))
    }

    fn lost(&self, _error: StoreError) {
        self.0.watch_lost.notify_one();
    }
}

pub(crate) async fn watch(objects: &Objects, events: &Arc<HeaderEvents>, timeout: Duration) -> Result<WatchId> {
    Ok(objects.meta.watch(&objects.header(), timeout, Arc::new(Handler(events.clone()))).await?)
}

/// Tells every other opener. One that does not answer finds out when it looks; so a failed notice is no error.
pub(crate) async fn notify(objects: &Objects, notice: Notice) {
    notify_of(&objects.meta, &objects.header(), &notice).await;
}

/// The same of another image.
pub(crate) async fn notify_of(store: &Arc<dyn ObjectStore>, header: &ObjectName, notice: &Notice) {
    let _ = store.notify(header, Bytes::from(notice::encode(notice)), NOTIFY_TIMEOUT).await;
}

/// The same without waiting until everybody has heard it.
pub(crate) fn notify_soon(objects: &Objects, notice: Notice) {
    let objects = objects.clone();
    tokio::spawn(async move { notify(&objects, notice).await });
}

/// Asks the owner; `None` if nobody says that it is the owner.
pub(crate) async fn ask(objects: &Objects, notice: &Notice) -> Result<Option<Answer>> {
    let payload = Bytes::from(notice::encode(notice));
    Ok(understood(&objects.meta.notify(&objects.header(), payload, NOTIFY_TIMEOUT).await?))
}

/// What became of a question to who holds the lock.
#[derive(Debug)]
pub(crate) enum Asked {
    /// As [`ask`] has it.
    Answered(Option<Answer>),
    /// The holder watches, and has not answered in time.
    Silent,
}

/// As [`ask`], about a lock of `holder`.
pub(crate) async fn ask_holder(objects: &Objects, notice: &Notice, holder: &Locker) -> Result<Asked> {
    let payload = Bytes::from(notice::encode(notice));
    let reply = objects.meta.notify(&objects.header(), payload, NOTIFY_TIMEOUT).await?;
    let is_silent = reply.timed_out.iter().any(|watcher| lock::is_of(watcher, holder));
    Ok(match understood(&reply) {
        None if is_silent => Asked::Silent,
        answer => Asked::Answered(answer),
    })
}

/// Tells everybody, and gives what they said.
pub(crate) async fn tell_all(objects: &Objects, notice: &Notice) -> Result<NotifyReply> {
    Ok(objects.meta.notify(&objects.header(), notice::encode(notice).into(), NOTIFY_TIMEOUT).await?)
}

/// Bytes that are no answer come from a program that is no owner of ours.
fn understood(reply: &NotifyReply) -> Option<Answer> {
    reply.acks.iter().find_map(|(_, bytes)| notice::decode_answer(bytes).ok())
}

/// Asks everybody who watches. Who is silent, or says nothing that is understood, comes without an answer.
pub(crate) async fn ask_all(objects: &Objects, notice: &Notice) -> Result<Vec<(Watcher, Option<Answer>)>> {
    let header = objects.header();
    // A cluster does not tell the addresses of those who answer.
    let known = objects.meta.watchers(&header).await?;
    let reply = objects.meta.notify(&header, notice::encode(notice).into(), NOTIFY_TIMEOUT).await?;
    let addressed = |watcher: Watcher| {
        let same = |other: &&Watcher| (other.client, other.cookie) == (watcher.client, watcher.cookie);
        known.iter().find(same).cloned().unwrap_or(watcher)
    };
    let answers = reply.acks.into_iter().map(|(watcher, bytes)| (watcher, notice::decode_answer(&bytes).ok()));
    let silent = reply.timed_out.into_iter().map(|watcher| (watcher, None));
    let mut all: Vec<_> = answers.chain(silent).map(|(watcher, answer)| (addressed(watcher), answer)).collect();
    all.sort_by_key(|(watcher, _)| (watcher.client, watcher.cookie));
    Ok(all)
}
