//! What goes on behind an open image beside its calls: checkpoints, batches that age, news of the header, the watch.
//!
//! Owns: when each of them is done, and what follows from a failure. Does not own: how; collection (`collect/`), hand-over
//! (`handover.rs`), requests (`requests.rs`).
use crate::ErrorKind;
use crate::api::limits::{AGE_LOOK, CHECKPOINT_TRIES, RETRY_MOST};
use crate::api::live::LiveSettings;
use crate::checkpoint::Checkpointer;
use crate::checkpoint::purpose::Purpose;
use crate::objects::Objects;
use crate::ownership::watch::{self, HeaderEvents};
use crate::session::Session;
use crate::shared::Shared;
use lsd_state::log::Writer;
use std::sync::{Arc, Weak};
use tokio::time::Instant;

/// Whenever one is due.
pub(crate) async fn write_checkpoints(
    objects: Objects,
    shared: Arc<Shared>,
    settings: Arc<LiveSettings>,
    checkpointer: Arc<Checkpointer>,
) {
    let mut failures = 0;
    loop {
        shared.checkpoint_due.notified().await;
        if !shared.checkpoint_is_due() {
            continue;
        }
        // A failed checkpoint loses nothing: the log is still there and the next one tries again.
        match checkpointer.write(&objects, &shared, Purpose::Running).await {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!(target: "lsd::checkpoint", image = shared.image, op = "checkpoint", failures,
                        "checkpoints are written again");
                }
                failures = 0;
                shared.lock().set_checkpoint_failure(None);
                shared.evict_leaves(settings.now().map_cache_bytes);
            }
            // The owner's last one is being written.
            Err(error) if error.kind == ErrorKind::Closed => {}
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    tracing::warn!(target: "lsd::checkpoint", image = shared.image, op = "checkpoint",
                        object = error.object(), %error, "a checkpoint failed: the log stays and it is tried again");
                }
                if failures >= CHECKPOINT_TRIES {
                    shared.lock().set_checkpoint_failure(Some(error));
                    shared.space_freed.notify_waiters();
                }
                tokio::time::sleep(RETRY_MOST).await;
            }
        }
    }
}

/// Seals a batch that nobody waits for once it is `max_age` old.
pub(crate) async fn seal_aged(shared: Arc<Shared>, settings: Arc<LiveSettings>) {
    let open = |shared: &Shared| shared.lock().writer.as_ref().and_then(Writer::open_first_seq);
    loop {
        shared.batch_opened.notified().await;
        while let Some(first) = open(&shared) {
            let since = Instant::now();
            // The setting may become shorter meanwhile.
            let left = || settings.now().max_age.saturating_sub(since.elapsed());
            let mut rest = left();
            while !rest.is_zero() && open(&shared) == Some(first) {
                tokio::time::sleep(rest.min(AGE_LOOK)).await;
                rest = left();
            }
            let mut state = shared.lock();
            if state.writer.as_ref().and_then(Writer::open_first_seq) == Some(first) {
                state.seal();
            }
        }
    }
}

pub(crate) async fn follow_header(session: Weak<Session>, events: Arc<HeaderEvents>) {
    loop {
        events.header_changed.notified().await;
        let Some(session) = session.upgrade() else { return };
        // What cannot be read now is read at the next change or invalidate_cache.
        if let Err(error) = session.refresh().await {
            session.shared.tell_header_unread(&error);
        }
    }
}

pub(crate) async fn keep_watching(session: Weak<Session>, events: Arc<HeaderEvents>) {
    loop {
        events.watch_lost.notified().await;
        let Some(session) = session.upgrade() else { return };
        let timeout = session.settings().watch_timeout;
        match watch::watch(&session.objects, &events, timeout).await {
            Ok(watch) => {
                session.set_watch(watch);
                // Others may have said something that nobody heard here.
                events.quiet.hear_rumour();
                events.header_changed.notify_one();
                session.mark_again(watch).await;
            }
            // Cut off the cluster: what this client still has can never be written.
            Err(error) if error.kind == ErrorKind::Fenced => session.shared.fail(error),
            Err(error) => {
                tracing::debug!(target: "lsd::header", image = session.shared.image, op = "watch", object = error.object(),
                    %error, "the header cannot be watched: it is tried again");
                tokio::time::sleep(RETRY_MOST).await;
                events.watch_lost.notify_one();
            }
        }
    }
}
