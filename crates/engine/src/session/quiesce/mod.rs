//! Being quiet while others take snapshots (librbd's quiesce watches): what the header and the other clients are told of it.
//!
//! Owns: the handle's key in the header, going on when whoever takes a snapshot has died. Does not own: who is quiet for what
//! (`ownership/quiet.rs`), asking others (`ask.rs`).
pub(crate) mod ask;

use crate::api::limits::{QUIESCE_SILENCE, REQUEST_POLL};
use crate::compiled_here;
use crate::ownership::quiet::Mark;
use crate::ownership::watch::{self, HeaderEvents};
use crate::session::Session;
use crate::{QuiesceEvent, Result};
use lsd_core::format::header::{encode_quiesce, key};
use lsd_core::format::notice::Notice;
use lsd_store::{KvPresence, KvUpdate, WatchId};
use std::sync::{Arc, Weak};
use tokio::time::Instant;

impl Session {
    /// From its return on no snapshot is taken without asking. A handle that cannot write is no client that anybody asks, as in librbd.
    pub(crate) async fn quiesce_watch(
        self: &Arc<Self>,
        listener: Arc<dyn Fn(QuiesceEvent) + Send + Sync>,
    ) -> Result<u64> {
        self.check_open()?;
        let quiet = &self.events.quiet;
        let number = quiet.add(listener);
        let Some(watch) = self.watch() else { return Ok(number) };
        let mut mark = quiet.mark.lock().await;
        if mark.is_some() {
            return Ok(number);
        }
        let id = self.new_request()?;
        let key = key::quiesce(id.client, id.number);
        if let Err(error) = self.set_mark(&key, watch).await {
            let _ = quiet.remove(number);
            return Err(error);
        }
        let going_on = self.spawn(go_on_in_time(Arc::downgrade(self), self.events.clone()));
        *mark = Some(Mark { key, going_on });
        self.tell_of_mark().await;
        Ok(number)
    }

    /// An owner has the header in memory. So this lasts until everybody has heard it who watches, or is gone: who is silent for so long has
    /// lost its watch, and looks at the header when it watches again.
    async fn tell_of_mark(&self) {
        let deadline = Instant::now() + self.settings().watch_timeout;
        loop {
            match watch::tell_all(&self.objects, &Notice::QuiesceWatched).await {
                Ok(reply) if reply.timed_out.is_empty() => return,
                _ if Instant::now() >= deadline => return,
                _ => tokio::time::sleep(REQUEST_POLL).await,
            }
        }
    }

    /// `NotFound`.
    #[compiled_here]
    pub(crate) async fn quiesce_unwatch(&self, number: u64) -> Result<()> {
        if self.events.quiet.remove(number)? {
            self.forget_mark().await;
            watch::notify_soon(&self.objects, Notice::HeaderChanged);
        }
        Ok(())
    }

    async fn set_mark(&self, key: &str, watch: WatchId) -> Result<()> {
        // Nobody who changes the header by its epoch is in the way of this, nor this of them.
        let set = KvUpdate::default()
            .presence(KvPresence::MustExist)
            .expect(key::IMAGE, self.image.encode())
            .set(key, encode_quiesce(watch.0));
        self.objects.meta.kv_update(&self.objects.header(), set).await?;
        self.described().quiesce.insert(key.to_owned(), encode_quiesce(watch.0).into());
        Ok(())
    }

    /// Unless there is a new watch by now, which counts on the mark. Where it fails the next one who takes a snapshot finds nobody behind
    /// the key.
    pub(super) async fn forget_mark(&self) {
        let mut mark = self.events.quiet.mark.lock().await;
        if self.events.quiet.has_watches() {
            return;
        }
        let Some(Mark { key, going_on }) = mark.take() else { return };
        going_on.abort();
        self.described().quiesce.remove(&key);
        let remove = KvUpdate::default().presence(KvPresence::MustExist).remove(key);
        let _ = self.objects.meta.kv_update(&self.objects.header(), remove).await;
    }

    /// Behind a new watch: who asked meanwhile has met nobody, and may take the key for one of a dead client.
    pub(super) async fn mark_again(self: &Arc<Self>, watch: WatchId) {
        let mark = self.events.quiet.mark.lock().await;
        let Some(Mark { key, .. }) = &*mark else { return };
        if let Err(error) = self.set_mark(key, watch).await {
            let object = error.object();
            tracing::warn!(target: "lsd::header", image = self.shared.image, op = "quiesce", object, %error,
                "this client may not be asked to be quiet before snapshots");
        }
        // Beside the caller, who has to hear of it if this watch is lost, too.
        let session = self.clone();
        self.spawn(async move { session.tell_of_mark().await });
    }
}

/// Tells who takes a snapshot that this handle is quiet, and ends that where nothing is heard of them.
async fn go_on_in_time(session: Weak<Session>, events: Arc<HeaderEvents>) {
    let quiet = &events.quiet;
    loop {
        let changed = quiet.changed.notified();
        let Some(session) = session.upgrade() else { return };
        for id in quiet.answered() {
            watch::notify_soon(&session.objects, Notice::RequestDone(id));
        }
        let late = quiet.give_up_silent();
        if late > 0 {
            tracing::warn!(target: "lsd::header", image = session.shared.image, op = "quiesce", snapshots = late,
                "nothing was heard of who takes a snapshot: this client is quiet no more");
        }
        drop(session);
        let look = quiet.next_look().unwrap_or_else(|| Instant::now() + QUIESCE_SILENCE);
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep_until(look) => {}
        }
    }
}
