//! Reads of an image whose owner moves data on and deletes where it was, or drops its base.
//!
//! Owns: trying again, and what has to be looked at again first. Does not own: reading (`read/`), loading (`recovery/open.rs`).
use crate::api::error::corrupt;
use crate::api::limits::READ_TRIES;
use crate::api::stats::Counter;
use crate::objects::header::Header;
use crate::recovery::open;
use crate::session::{Role, Session};
use crate::{Error, ErrorKind, Result, SnapRef};
use lsd_core::format::header::CheckpointPointer;

/// What an attempt began with.
#[derive(Clone, Copy)]
struct Seen {
    checkpoint: Option<CheckpointPointer>,
    shows_base: bool,
}

impl Session {
    /// Runs `attempt` until it finds every object that the map names. The owner's own map follows what it moves, so it looks up
    /// again; any other handle first takes up the newest durable state, unless somebody did since the attempt began.
    ///
    /// A base that is not there any more is no error where the image needs none by now.
    ///
    /// `Corrupt` when objects are missing that the newest state names.
    pub(crate) async fn retry_if_moved<T, F: Future<Output = Result<T>>>(&self, attempt: impl Fn() -> F) -> Result<T> {
        let mut tries = 0;
        loop {
            let seen = {
                let state = self.shared.lock();
                Seen { checkpoint: state.log().checkpoint, shows_base: state.view.map.zeroed_below() > 0 }
            };
            let error = match attempt().await {
                Err(error) => error,
                done => return done,
            };
            // Seldom: it has an allocation of its own, so that a read's future is small.
            let looked = Box::pin(self.look_again_behind(error, seen, tries));
            tries += u32::from(looked.await?);
        }
    }

    /// Ends without an error if another attempt may find what this one did not; whether it counts as one of the tries.
    async fn look_again_behind(&self, error: Error, seen: Seen, tries: u32) -> Result<bool> {
        match error.kind {
            ErrorKind::NotFound if tries < READ_TRIES => self.shared.counters.count(Counter::ReadsMoved),
            ErrorKind::NotFound => return Err(error.with_kind(ErrorKind::Corrupt)),
            ErrorKind::Corrupt if seen.shows_base => {
                self.unless_without_base(error).await?;
                return Ok(false);
            }
            _ => return Err(error),
        }
        // The owner's map is the truth. Waiting for its maintenance would be in vain, too: a hand-over waits for those who
        // read to compare.
        if self.shared.lock().writer.is_none() {
            match self.hold_moment {
                true => self.show_again(seen.checkpoint).await?,
                false => self.take_up_newer(seen.checkpoint).await?,
            }
        }
        Ok(true)
    }

    /// `error`, unless it comes from a base that the image does not show any more.
    async fn unless_without_base(&self, error: Error) -> Result<()> {
        if self.is_without_base().await? { Ok(()) } else { Err(error) }
    }

    /// Rule 46: whether the image shows no base any more, so that this one may be gone; then this handle has taken that up. `Outdated`: it
    /// holds a moment at which there was a base.
    async fn is_without_base(&self) -> Result<bool> {
        {
            let state = self.shared.lock();
            if state.writer.is_some() || state.view.map.zeroed_below() == 0 {
                return Ok(state.view.map.zeroed_below() == 0);
            }
        }
        if Header::read(&self.objects).await?.base.is_some() {
            return Ok(false);
        }
        if self.hold_moment {
            let reason = format!("{}: its base was dropped since this reader began to read", self.described().name);
            return Err(Error::new(ErrorKind::Outdated, reason));
        }
        let mut role = self.maintenance.lock().await;
        if matches!(*role, Role::Reader(_)) {
            self.reload(&mut role).await?;
        }
        Ok(self.shared.lock().view.map.zeroed_below() == 0)
    }

    /// What a snapshot shows stays, but its owner may have moved where it is (rule 37). `NotFound`: the snapshot was removed; `Outdated`:
    /// this handle holds another moment; `Corrupt`: the newest map names what is missing.
    async fn show_again(&self, before: Option<CheckpointPointer>) -> Result<()> {
        let _role = self.maintenance.lock().await;
        let Some(shown) = &self.shown else { return Err(self.moment_is_over()) };
        if self.shared.lock().log().checkpoint != before {
            return Ok(());
        }
        let header = Header::read(&self.objects).await?;
        let record = header.snapshots.find(&SnapRef::Id(shown.id.0)).map_err(|_| self.moment_is_over())?;
        if Some(record.root) == before {
            // Neither removed nor moved.
            let reason = format!("objects are missing that the map of snapshot {} names", record.id);
            return Err(corrupt(&self.objects.header(), reason));
        }
        let settings = self.settings().clone();
        let (state, _, _) = open::load_snapshot(&self.objects, header, record, &settings).await?;
        self.shared.lock().reload(state);
        Ok(())
    }

    /// Takes up the newest durable state, unless this handle owns the image by now or has another state than `before`.
    async fn take_up_newer(&self, before: Option<CheckpointPointer>) -> Result<()> {
        let mut role = self.maintenance.lock().await;
        let is_same = self.shared.lock().log().checkpoint == before;
        if is_same && matches!(*role, Role::Reader(_)) {
            self.reload(&mut role).await?;
        }
        Ok(())
    }
}
