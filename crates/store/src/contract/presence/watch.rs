//! Watches and notifications as one client sees them.
use super::lock::keyed_object;
use crate::contract::{fails, object, works};
use crate::{Blobs, Keyed, Presence, StoreError, StoreErrorKind, WatchHandler};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the store keeps a silent watcher, and how long a notification that will be answered may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How long a notification waits that nobody will answer.
const IMPATIENCE: Duration = Duration::from_millis(1500);

/// Answers every notification with `answer` and its payload, or never.
pub(super) struct Listener {
    pub answer: Option<&'static str>,
    pub heard: Mutex<Vec<(u64, Bytes)>>,
}

impl Listener {
    pub fn new(answer: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self { answer, heard: Mutex::default() })
    }

    pub fn heard(&self) -> Vec<(u64, Bytes)> {
        self.heard.lock().expect("a listener does not panic").clone()
    }
}

impl WatchHandler for Listener {
    fn notified(&self, notifier: u64, payload: Bytes) -> BoxFuture<'static, Bytes> {
        self.heard.lock().expect("a listener does not panic").push((notifier, payload.clone()));
        match self.answer {
            Some(answer) => async move { [answer.as_bytes(), &payload].concat().into() }.boxed(),
            None => futures::future::pending().boxed(),
        }
    }

    fn lost(&self, error: StoreError) {
        // A watch that ends with its object may say so; no test of the contract ends one otherwise.
        assert!(error.kind == StoreErrorKind::NotFound || error.kind == StoreErrorKind::Io, "lost a watch: {error}");
    }
}

/// The number in `client.N`.
pub(super) fn client_number(store: &(impl Presence + ?Sized)) -> u64 {
    let (name, _) = store.identity();
    name.strip_prefix("client.").and_then(|number| number.parse().ok()).expect("an identity is client.N")
}

/// Every watch hears a notification, its own client's too, and its answer comes back under its name.
pub async fn watch_sees_notifications(store: &(impl Presence + Keyed + Blobs + ?Sized), prefix: &str) {
    let name = keyed_object(store, prefix, "watch").await;
    let (first, second) = (Listener::new(Some("one:")), Listener::new(Some("two:")));
    let one = works(store.watch(&name, PATIENCE, first.clone()).await, "watch");
    let two = works(store.watch(&name, PATIENCE, second.clone()).await, "second watch of one client");
    assert_ne!(one, two);
    let mut watchers = works(store.watchers(&name).await, "watchers");
    watchers.sort_by_key(|watcher| watcher.cookie);
    let mut cookies = [one.0, two.0];
    cookies.sort_unstable();
    assert_eq!(watchers.iter().map(|watcher| watcher.cookie).collect::<Vec<_>>(), cookies);
    let (_, addr) = store.identity();
    assert!(watchers.iter().all(|watcher| watcher.client == client_number(store) && watcher.addr == addr));
    for payload in ["", "hello"] {
        let reply = works(store.notify(&name, payload.into(), PATIENCE).await, "notify");
        assert_eq!(reply.timed_out, []);
        let mut acks: Vec<_> = reply.acks.iter().map(|(watcher, answer)| (watcher.cookie, answer.clone())).collect();
        acks.sort();
        let mut expected =
            vec![(one.0, Bytes::from(format!("one:{payload}"))), (two.0, Bytes::from(format!("two:{payload}")))];
        expected.sort();
        assert_eq!(acks, expected);
    }
    let notifier = client_number(store);
    for listener in [first, second] {
        assert_eq!(listener.heard(), [(notifier, Bytes::new()), (notifier, Bytes::from("hello"))]);
    }
    works(store.unwatch(one).await, "unwatch");
    works(store.unwatch(two).await, "unwatch");
    works(store.remove(&name).await, "remove");
}

/// Who does not answer in time is named, and who did is heard nevertheless.
pub async fn notify_reports_the_silent(store: &(impl Presence + Keyed + Blobs + ?Sized), prefix: &str) {
    let name = keyed_object(store, prefix, "watch-silent").await;
    let (silent, prompt) = (Listener::new(None), Listener::new(Some("ok")));
    let quiet = works(store.watch(&name, PATIENCE, silent.clone()).await, "watch");
    let loud = works(store.watch(&name, PATIENCE, prompt).await, "watch");
    let start = Instant::now();
    let reply = works(store.notify(&name, "x".into(), IMPATIENCE).await, "a time-out is no error");
    assert!(start.elapsed() < PATIENCE, "a notification of {IMPATIENCE:?} took {:?}", start.elapsed());
    assert_eq!(reply.timed_out.iter().map(|watcher| watcher.cookie).collect::<Vec<_>>(), [quiet.0]);
    assert_eq!(reply.acks.iter().map(|(watcher, _)| watcher.cookie).collect::<Vec<_>>(), [loud.0]);
    assert_eq!(silent.heard().len(), 1);
    works(store.unwatch(quiet).await, "unwatch");
    works(store.unwatch(loud).await, "unwatch");
    works(store.remove(&name).await, "remove");
}

/// With nobody there a notification is over at once.
pub async fn notify_without_watchers(store: &(impl Presence + Keyed + Blobs + ?Sized), prefix: &str) {
    let name = keyed_object(store, prefix, "watch-nobody").await;
    let start = Instant::now();
    let reply = works(store.notify(&name, "x".into(), PATIENCE).await, "notify");
    assert!(reply.acks.is_empty() && reply.timed_out.is_empty(), "{reply:?}");
    assert!(start.elapsed() < PATIENCE / 2, "nobody to wait for, but it took {:?}", start.elapsed());
    assert_eq!(works(store.watchers(&name).await, "watchers"), []);
    works(store.remove(&name).await, "remove");
}

/// An ended watch is not told, not waited for and not listed.
pub async fn unwatch_ends_a_watch(store: &(impl Presence + Keyed + Blobs + ?Sized), prefix: &str) {
    let name = keyed_object(store, prefix, "watch-end").await;
    let (ended, kept) = (Listener::new(Some("ended")), Listener::new(Some("kept")));
    let one = works(store.watch(&name, PATIENCE, ended.clone()).await, "watch");
    let two = works(store.watch(&name, PATIENCE, kept.clone()).await, "watch");
    works(store.unwatch(one).await, "unwatch");
    let watchers = works(store.watchers(&name).await, "watchers");
    assert_eq!(watchers.iter().map(|watcher| watcher.cookie).collect::<Vec<_>>(), [two.0]);
    let reply = works(store.notify(&name, "x".into(), PATIENCE).await, "notify");
    assert_eq!((reply.acks.len(), reply.timed_out.len()), (1, 0));
    assert_eq!((ended.heard().len(), kept.heard().len()), (0, 1));
    works(store.unwatch(two).await, "unwatch");
    works(store.remove(&name).await, "remove");
}

/// A missing object has no watchers to list.
pub async fn watchers_of_a_missing_object(store: &(impl Presence + ?Sized), prefix: &str) {
    let name = object(prefix, "watch-missing");
    fails(store.watchers(&name).await, &[StoreErrorKind::NotFound], "watchers of a missing object");
}
