//! Becoming the owner of an image: the lock, then the takeover, then the tasks of an owner.
//!
//! Owns: the order of the steps (rule 6 of `protocol.rs`). Does not own: waiting for the lock and giving the image away
//! (`handover.rs`), what makes a takeover safe (`ownership/takeover.rs`).
use super::{Role, Session, background, snapshots};
use crate::api::stats::Counter;
use crate::append::Appender;
use crate::checkpoint::Checkpointer;
use crate::objects::header::Header;
use crate::objects::room;
use crate::ownership::lock;
use crate::ownership::lock::Attempted;
use crate::ownership::mailbox::Claim;
use crate::ownership::takeover;
use crate::recovery::Tails;
use crate::recovery::open;
use crate::session::follow::View;
use crate::session::handover::{Ownership, Taking};
use crate::shared::locked::Outlet;
use crate::{Error, ErrorKind, Result};
use futures::FutureExt;
use futures::future::BoxFuture;
use lsd_core::units::Epoch;
use lsd_state::log::{Writer, WriterConfig};
use lsd_store::WatchId;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

impl Session {
    /// Makes this handle the image's writer if it is not already.
    pub(crate) async fn ensure_owner(self: &Arc<Self>) -> Result<()> {
        self.ensure_owner_since(self.refusals.count()).await
    }

    /// The same for a change that found so many refusals at its call: one more, and it is refused, too.
    pub(crate) async fn ensure_owner_since(self: &Arc<Self>, since: u64) -> Result<()> {
        if self.owns() {
            return Ok(());
        }
        self.check_open()?;
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the image is open read-only"));
        }
        let mut role = self.maintenance.lock().await;
        if matches!(&*role, Role::Reader(_)) && self.by_hand.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::ReadOnly, "the lock is taken by hand and was given back"));
        }
        self.own(&mut role, since).await.map(|_| ())
    }

    /// The same with the maintenance lock held, for which the caller waited; returns the checkpointer of this ownership.
    pub(crate) fn own<'a>(
        self: &'a Arc<Self>,
        role: &'a mut Role,
        since: u64,
    ) -> BoxFuture<'a, Result<Arc<Checkpointer>>> {
        Box::pin(async move {
            if let Role::Owner(checkpointer, _) = role {
                return Ok(checkpointer.clone());
            }
            self.refusals.check(since)?;
            self.objects.check_never_owned()?;
            let watch = self.watch_to_own()?;
            let taking = Taking::begin(self, watch);
            let taken = match self.acquire_lock(watch).await {
                Ok(()) => self.become_owner(role, watch).await,
                Err(error) => {
                    taking.refused(&error);
                    return Err(error);
                }
            };
            taking.end();
            taken
        })
    }

    /// Makes this handle the owner unless somebody else is: false then. `Busy`: the lock is held as an advisory one.
    pub(crate) fn own_if_free<'a>(self: &'a Arc<Self>, role: &'a mut Role) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            if matches!(role, Role::Owner(..)) {
                return Ok(true);
            }
            let watch = self.watch_to_own()?;
            self.release_what_is_left().await?;
            let taking = Taking::begin(self, watch);
            let taken = match lock::try_acquire(&self.objects, &self.shared.image, watch).await {
                Ok(Attempted::Taken) => self.become_owner(role, watch).await.map(|_| true),
                Ok(Attempted::Held(_)) => Ok(false),
                Err(error) => {
                    taking.refused(&error);
                    return Err(error);
                }
            };
            taking.end();
            taken
        })
    }

    fn watch_to_own(&self) -> Result<WatchId> {
        self.check_open()?;
        self.shared.lock().check_alive()?;
        self.watch().ok_or_else(no_watch)
    }

    /// The lock is taken.
    async fn become_owner(self: &Arc<Self>, role: &mut Role, watch: WatchId) -> Result<Arc<Checkpointer>> {
        let Role::Reader(seen) = role else { return Err(Error::new(ErrorKind::Exists, "the image is owned already")) };
        let (epoch, appender) = match self.take_over(seen.as_ref()).await {
            Ok(taken) => taken,
            Err(error) => {
                self.shared.tell_not_taken(&error);
                // What was read may be half of what there is.
                *role = Role::Reader(None);
                let _ = self.give_lock_back(watch).await;
                return Err(error);
            }
        };
        let checkpointer = Arc::new(Checkpointer::new(epoch));
        let tasks = vec![
            appender,
            self.spawn(background::write_checkpoints(
                self.objects.clone(),
                self.shared.clone(),
                self.settings.clone(),
                checkpointer.clone(),
            )),
            self.spawn(crate::collect::run(self.collector.clone(), checkpointer.clone())),
            self.spawn(background::seal_aged(self.shared.clone(), self.settings.clone())),
            self.spawn(snapshots::release(Arc::downgrade(self), self.events.clone(), checkpointer.clone())),
        ];
        self.shared.counters.count(Counter::Takeovers);
        self.shared.tell_taken(&self.objects.header(), epoch);
        *role = Role::Owner(checkpointer.clone(), Ownership { watch, since: Instant::now(), tasks });
        self.events.mailbox.announce(Claim::Owner);
        self.owned.store(true, Ordering::Release);
        Ok(checkpointer)
    }

    /// Rule 6: raise, read the header, fence, read the log, commit, and only then write.
    async fn take_over(&self, seen: Option<&Tails>) -> Result<(Epoch, AbortHandle)> {
        let header = Header::read(&self.objects).await?;
        // Rule 38. Who begins a migration raises the epoch: who looked before that raises none.
        if !self.objects.is_migrators() {
            header.check_writable()?;
        }
        self.objects.check_not_returned(&header)?;
        let epoch = takeover::raise_epoch(&self.objects, &header).await?;
        // Until then the old owner could commit a checkpoint and delete what the header named before.
        let header = Header::read(&self.objects).await?;
        if header.epoch != epoch {
            return Err(Error::new(ErrorKind::Busy, "another client is taking the image over"));
        }
        let tails = takeover::fence_log(&self.objects, &header.log, epoch).await?;
        // Held until this handle writes: nobody brings the state of an owner up to date.
        let mut view = self.follower.view.lock().await;
        *view = View::default();
        // Who listens looks at the size when it hears the news.
        self.shared.lock().view.size = header.state.size;
        self.describe(&header);
        let settings = self.settings().clone();
        if *self.shared.lock().log() != header.log || !seen.is_some_and(|seen| same_log(seen, &tails)) {
            match open::load_with(&self.objects, &header, &tails, &settings).await {
                Ok(state) => self.shared.lock().reload(state),
                Err(error) => return Err(takeover::why_missing(&self.objects, epoch, error).await),
            }
        }
        let (end, last_known) = {
            let mut state = self.shared.lock();
            // The old owner may have changed it since this handle read the header, while the log stayed as it was.
            (state.view.size, state.view.features) = (header.state.size, header.state.features);
            state.view.map.keep_zeroed_below(header.base_overlap());
            (state.view.end, state.segments.last().unwrap_or_default())
        };
        // A number is never used twice, not even by another epoch: locations name segments by number alone.
        let first_segment = takeover::last_segment(&header.log, &tails).max(last_known).next();
        let log = takeover::commit_start(&self.objects, &header, epoch, end, first_segment).await?;
        let config = WriterConfig {
            uuid: self.objects.uuid,
            epoch,
            alignment: self.objects.alignment(),
            segment_bytes: room::segment_bytes(&*self.objects.data, settings.segment_bytes),
        };
        let (jobs, queue) = mpsc::unbounded_channel();
        let appender = Appender::new(self.objects.clone(), epoch, config.alignment, self.shared.clone(), first_segment);
        // Ending the task that awaits the appender ends the appender.
        let (appender, handle) = appender.run(queue).remote_handle();
        let shared = self.shared.clone();
        let ending = self.spawn(async move {
            // Its jobs go nowhere then: without this, who waits for them would wait for ever.
            if AssertUnwindSafe(handle).catch_unwind().await.is_err() {
                let error = Error::new(ErrorKind::Io { errno: nix::libc::EIO }, "a panic ended the log's appender");
                shared.fail(error);
            }
        });
        self.executor.run(appender.boxed());
        let mut state = self.shared.lock();
        state.left_by = (!header.log.clean).then_some(header.log);
        state.set_log(log);
        state.throttle.start(settings.gc.then_some(settings.gc_thresholds));
        let newest = state.segments.newest_ns();
        let writer = Writer::new(config, end, first_segment).not_before(newest);
        state.begin_writing(writer, Outlet { jobs, clock: self.clock.clone() });
        Ok((epoch, ending))
    }
}

fn no_watch() -> Error {
    Error::new(ErrorKind::Permission, "an owner must watch the header")
}

/// True if the log is byte for byte what was read before (only epochs were raised since).
fn same_log(seen: &Tails, fenced: &Tails) -> bool {
    let sizes = |tails: &Tails| -> Vec<_> {
        tails.iter().filter(|(_, (_, tail))| tail.len > 0).map(|(s, (e, tail))| (*s, *e, tail.len)).collect()
    };
    sizes(seen) == sizes(fenced)
}
