//! Watches of this client, and notifications to everybody's: the list on disk and the hub together.
use super::advisory;
use super::fault::{Fault, Outcome};
use super::heart::Heart;
use super::hub::{Hub, Notification, NotifySender, Watch, Watches};
use super::message::PAYLOAD_MAX_BYTES;
use super::root::Root;
use crate::{NotifyReply, StoreErrorKind, WatchHandler, WatchId, Watcher};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

pub(super) struct Watching {
    root: Arc<Root>,
    watches: Arc<Watches>,
    heart: Heart,
    /// Started when it is first needed: most stores only read and write.
    hub: Mutex<Option<Hub>>,
}

impl Watching {
    pub fn new(root: Arc<Root>) -> Outcome<Self> {
        let watches: Arc<Watches> = Arc::default();
        let heart = Heart::start(root.clone(), watches.clone())?;
        Ok(Self { root, watches, heart, hub: Mutex::default() })
    }

    /// The object of one of this client's watches.
    pub fn object(&self, watch: WatchId) -> Option<String> {
        self.watches.object(watch.0)
    }

    /// `timeout`: how long this client may be silent before nobody counts with its watches any more.
    pub fn watch(
        &self,
        name: &str,
        timeout: Duration,
        handler: Arc<dyn WatchHandler>,
        runtime: Option<Handle>,
    ) -> Outcome<WatchId> {
        self.root.clients.check()?;
        self.heart.set_timeout(timeout)?;
        self.with_hub(|_| ())?;
        // Known here before others can see it, so that no notification comes too early.
        let cookie = self.watches.add(Watch { object: name.to_owned(), handler, runtime });
        let (addr, client) = (self.root.clients.addr(), self.root.clients.number());
        let watcher = Watcher { addr, client, cookie };
        let listed = advisory::modify(&self.root, name, |state| {
            // Those that have ended, because this client was silent, go.
            let ours = |one: &Watcher| one.client == client && !self.watches.has(one.cookie);
            state.watchers.retain(|one| !ours(one));
            state.watchers.push(watcher.clone());
            Ok(())
        });
        if listed.is_err() {
            self.watches.remove(cookie);
        }
        listed.map(|()| WatchId(cookie))
    }

    pub fn unwatch(&self, name: &str, watch: WatchId) -> Outcome<()> {
        self.watches.remove(watch.0).ok_or(StoreErrorKind::NotFound)?;
        let client = self.root.clients.number();
        let unlisted = advisory::modify(&self.root, name, |state| {
            state.watchers.retain(|watcher| (watcher.client, watcher.cookie) != (client, watch.0));
            Ok(())
        });
        match unlisted {
            // The list went with the object.
            Err(fault) if fault.kind == StoreErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Finds the watchers and lets the hub do the rest; `reply` gets the outcome.
    pub fn notify(&self, name: &str, payload: Bytes, timeout: Duration, reply: NotifySender) {
        let mut reply = Some(reply);
        let result = self.start_notify(name, payload, timeout, &mut reply);
        if let Some(reply) = reply {
            let nobody = result.map(|()| NotifyReply::default());
            drop(reply.send(nobody.map_err(|fault| fault.into_error("notify", name))));
        }
    }

    /// Takes `reply` if there is somebody to wait for.
    fn start_notify(
        &self,
        name: &str,
        payload: Bytes,
        timeout: Duration,
        reply: &mut Option<NotifySender>,
    ) -> Outcome<()> {
        if payload.len() > PAYLOAD_MAX_BYTES {
            let detail = format!("a notification may have {PAYLOAD_MAX_BYTES} bytes, not {}", payload.len());
            return Err(Fault::new(StoreErrorKind::Invalid, detail));
        }
        let watchers = advisory::load(&self.root, name)?.watchers;
        if watchers.is_empty() {
            return Ok(());
        }
        self.with_hub(|hub| {
            if let Some(reply) = reply.take() {
                hub.notify(Notification { payload, watchers, timeout, reply });
            }
        })
    }

    /// Ends the watches of an object that was just removed. The removal has succeeded, so what fails here fails alone:
    /// a list left behind names only clients, and who does not hear of the end of a watch finds no object.
    pub fn object_removed(&self, name: &str) {
        let watchers = advisory::load_leftover(&self.root, name).map(|state| state.watchers).unwrap_or_default();
        if let Ok(path) = self.root.advisory(name) {
            drop(self.root.remove(&path));
        }
        if !watchers.is_empty() {
            let from = self.root.clients.number();
            drop(self.with_hub(|hub| hub.tell_removed(from, &watchers)));
        }
    }

    fn with_hub<T>(&self, action: impl FnOnce(&Hub) -> T) -> Outcome<T> {
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = &*hub {
            return Ok(action(hub));
        }
        let started = Hub::start(self.root.clone(), self.watches.clone())?;
        Ok(action(hub.insert(started)))
    }
}
