//! The lock between living clients: asking the owner for it, and giving it back.
//!
//! Owns: waiting for the lock, the hand-over with its order (rule 8 of `protocol.rs`), taking the lock by hand. Does not own:
//! the advisory lock itself and dead owners (`lock.rs`), what makes a takeover safe (`takeover.rs`).
use crate::api::limits::{ASK_AGAIN, HOLD_LEAST, LOCK_POLL, OWNER_PATIENCE, YIELD_GRACE};
use crate::api::stats::Counter;
use crate::checkpoint::Checkpointer;
use crate::checkpoint::purpose::Purpose;
use crate::compiled_here;
use crate::ownership::lock::{self, Attempted};
use crate::ownership::mailbox::Claim;
use crate::ownership::watch::{self, Asked, HeaderEvents};
use crate::recovery::Tails;
use crate::session::follow::View;
use crate::session::{Role, Session};
use crate::{Error, ErrorKind, Features, Result};
use lsd_core::format::notice::{Answer, Notice};
use lsd_state::state::Rest;
use lsd_store::{LockMode, LockRequest, LockState, Locker, StoreErrorKind, WatchId};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What ends with an ownership.
#[derive(Debug)]
pub(crate) struct Ownership {
    /// The lock was taken under this watch's cookie.
    pub(crate) watch: WatchId,
    pub(crate) since: Instant,
    pub(crate) tasks: Vec<AbortHandle>,
}

/// How often this handle asked for the image in vain. An owner that says nothing is waited for once: its refusal goes to all who
/// waited meanwhile (there may be many, and they would wait one after the other).
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<(u64, Option<Error>)>);

impl Refusals {
    fn book(&self) -> MutexGuard<'_, (u64, Option<Error>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) -> u64 {
        self.book().0
    }

    /// The last refusal, if there were more than `since`.
    pub(crate) fn check(&self, since: u64) -> Result<()> {
        match &*self.book() {
            (count, Some(refusal)) if *count > since => Err(refusal.clone()),
            _ => Ok(()),
        }
    }

    fn note(&self, refusal: &Error) {
        let mut book = self.book();
        *book = (book.0 + 1, Some(refusal.clone()));
    }
}

/// An attempt to become the owner that is under way. Where its caller gives it up, the lock may be taken: it counts as one that could
/// not be given back, so whoever asks for it gets it.
pub(crate) struct Taking<'a> {
    session: &'a Session,
    watch: WatchId,
    under_way: bool,
}

impl<'a> Taking<'a> {
    pub(crate) fn begin(session: &'a Session, watch: WatchId) -> Self {
        Self { session, watch, under_way: true }
    }

    /// The lock was asked for in vain. Where the answer may have been lost, it may have been taken all the same.
    pub(crate) fn refused(mut self, error: &Error) {
        self.under_way = matches!(error.kind, ErrorKind::TimedOut | ErrorKind::Io { .. });
    }

    /// It came to its end: the lock is kept for good, or was not taken, or was given back.
    pub(crate) fn end(mut self) {
        self.under_way = false;
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        if self.under_way {
            *self.session.left_lock() = Some(self.watch);
            self.session.events.mailbox.announce(Claim::Leaver);
        }
    }
}

impl Session {
    /// Takes the lock; a living owner is asked for it, and waited for as long as it says that the lock will come.
    /// `ReadOnly`: it keeps the lock, which was taken by hand. `Busy`: it does not answer, or it is no owner of this kind.
    pub(crate) async fn acquire_lock(&self, watch: WatchId) -> Result<()> {
        self.let_the_other_first().await?;
        self.release_what_is_left().await?;
        let mailbox = &self.events.mailbox;
        let patience = self.settings().watch_timeout + OWNER_PATIENCE;
        let mut deadline = Instant::now() + patience;
        let mut asked: Option<(Locker, Instant)> = None;
        loop {
            self.check_open()?;
            let released = mailbox.lock_released.notified();
            let holder = match lock::try_acquire(&self.objects, &self.shared.image, watch).await? {
                Attempted::Taken => return Ok(()),
                Attempted::Held(holder) => holder,
            };
            // Before it is asked, which takes long where it is dead: each time a last try follows.
            let now = Instant::now();
            if now >= deadline {
                let reason = format!("{}: {} at {} keeps the lock", self.objects.header(), holder.client, holder.addr);
                let refusal = Error::new(ErrorKind::Busy, reason);
                self.shared.tell_refused(&self.objects.header(), &refusal);
                self.refusals.note(&refusal);
                return Err(refusal);
            }
            if asked.is_none() {
                self.shared.tell_waiting(&self.objects.header(), &holder);
            }
            if asked.as_ref().is_none_or(|(owner, at)| *owner != holder || now >= *at + ASK_AGAIN) {
                match watch::ask_holder(&self.objects, &Notice::LockWanted, &holder).await? {
                    Asked::Answered(Some(Answer::WillRelease)) => deadline = Instant::now() + patience,
                    Asked::Answered(Some(Answer::Keeps)) => return Err(kept(&holder)),
                    Asked::Answered(_) => {}
                    Asked::Silent => self.shared.tell_owner_silent(&self.objects.header(), &holder),
                }
                asked = Some((holder.clone(), now));
            }
            tokio::select! {
                () = released => {}
                () = tokio::time::sleep(LOCK_POLL) => {}
            }
        }
    }

    /// Who was asked for the image and gave it away does not race with who asked.
    async fn let_the_other_first(&self) -> Result<()> {
        let Some(yielded) = self.yielded.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        while Instant::now() < yielded + YIELD_GRACE {
            self.check_open()?;
            if lock::managed_holder(&self.objects).await?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(LOCK_POLL / 10).await;
        }
        Ok(())
    }

    /// Ends this handle's ownership: whatever was accepted is durable before anybody else can take the image. Writes that come
    /// meanwhile wait and take the image back. An error leaves the handle the owner, unless the image failed for good.
    pub(crate) async fn hand_over(&self, role: &mut Role) -> Result<()> {
        let Role::Owner(checkpointer, _) = &*role else { return Ok(()) };
        let checkpointer = checkpointer.clone();
        self.owned.store(false, Ordering::Release);
        let flushed = self.come_to_rest(false).await;
        if let Err(error) = &flushed
            && self.shared.lock().failure().is_none()
        {
            self.shared.lock().yielding = false;
            self.owned.store(true, Ordering::Release);
            self.shared.unlocked.notify_waiters();
            return Err(error.clone());
        }
        let seen = if flushed.is_ok() { self.last_checkpoint(&checkpointer).await } else { None };
        let Role::Owner(_, ownership) = std::mem::replace(role, Role::Reader(seen)) else { return Ok(()) };
        self.shared.counters.count(Counter::HandOvers);
        self.shared.tell_given_away(&self.objects.header());
        self.events.mailbox.announce(Claim::Reader);
        ownership.tasks.iter().for_each(AbortHandle::abort);
        {
            let mut view = self.follower.view.lock().await;
            *view = View::default();
            if let Role::Reader(Some(_)) = role {
                view.loaded(&Tails::new(), Rest::default());
            }
            self.follower.set_age(Some(Instant::now()));
            let mut state = self.shared.lock();
            self.shared.end_writing(&mut state);
            state.yielding = false;
        }
        self.shared.unlocked.notify_waiters();
        // Collection ended with the ownership: nobody would wake those who wait for it.
        self.shared.space_freed.notify_waiters();
        let released = self.give_lock_back(ownership.watch).await;
        flushed.and(released)
    }

    /// Gives the lock back and tells everybody. Where that fails, this handle says that the lock will come, and tries again when
    /// somebody asks for it.
    pub(crate) async fn give_lock_back(&self, watch: WatchId) -> Result<()> {
        // It counts as left until it is gone: who waits for this may give up.
        *self.left_lock() = Some(watch);
        let released = lock::give_back(&self.objects, watch).await;
        self.book_release(watch, released)
    }

    fn book_release(&self, watch: WatchId, released: Result<()>) -> Result<()> {
        let left = released.is_err().then_some(watch);
        *self.left_lock() = left;
        match left {
            Some(_) => self.events.mailbox.announce(Claim::Leaver),
            None => watch::notify_soon(&self.objects, Notice::LockReleased),
        }
        released
    }

    fn left_lock(&self) -> MutexGuard<'_, Option<WatchId>> {
        self.unreleased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once more, if the lock of an earlier ownership is still there: with the maintenance lock held.
    pub(crate) async fn give_back_what_is_left(&self) -> Result<()> {
        let left = *self.left_lock();
        let Some(watch) = left else { return Ok(()) };
        self.give_lock_back(watch).await?;
        self.events.mailbox.announce(Claim::Reader);
        Ok(())
    }

    /// The same before the lock is taken anew: one try, so that a store that does not answer is told as soon as by any other call.
    pub(crate) async fn release_what_is_left(&self) -> Result<()> {
        let left = *self.left_lock();
        let Some(watch) = left else { return Ok(()) };
        self.book_release(watch, lock::release(&self.objects, watch).await)?;
        self.events.mailbox.announce(Claim::Reader);
        Ok(())
    }

    /// Accepts nothing more, lets compare-and-writes that are under way finish, and waits for the log. `force_when_full`: also in a full
    /// pool.
    pub(crate) async fn come_to_rest(&self, force_when_full: bool) -> Result<()> {
        loop {
            let unlocked = self.shared.unlocked.notified();
            {
                let mut state = self.shared.lock();
                state.yielding = true;
                if state.locks.is_empty() {
                    break;
                }
            }
            unlocked.await;
        }
        let end = {
            let mut state = self.shared.lock();
            if force_when_full {
                state.force_when_full();
            }
            state.view.end
        };
        self.shared.wait_durable(end).await
    }

    /// Everything is durable; the checkpoint only spares the next owner the log. What the log is seen to be afterwards,
    /// `None` where that is in doubt: then this handle reads everything again before it writes.
    async fn last_checkpoint(&self, checkpointer: &Checkpointer) -> Option<Tails> {
        checkpointer.write(&self.objects, &self.shared, Purpose::Clean).await.ok().map(|()| Tails::new())
    }

    async fn yield_lock(&self) {
        let since = match &*self.maintenance.lock().await {
            Role::Owner(_, ownership) => ownership.since,
            Role::Reader(_) => {
                // Where that fails again, the other one asks again.
                let _ = self.give_back_what_is_left().await;
                return;
            }
        };
        tokio::time::sleep_until(since + HOLD_LEAST).await;
        let mut role = self.maintenance.lock().await;
        if self.events.mailbox.keeps() {
            return;
        }
        // Where it cannot be given back now, the other one asks again.
        if self.hand_over(&mut role).await.is_ok() {
            *self.yielded.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// `Invalid` where librbd has no managed lock: without the feature, and for readers.
    fn check_lock_feature(&self) -> Result<()> {
        self.check_open()?;
        if self.read_only || self.described().state.features & Features::EXCLUSIVE_LOCK == 0 {
            return Err(crate::api::error::invalid("exclusive-lock is not enabled"));
        }
        Ok(())
    }

    pub(crate) async fn lock_by_hand(self: &Arc<Self>) -> Result<()> {
        self.check_lock_feature()?;
        self.by_hand.store(true, Ordering::Release);
        let since = self.refusals.count();
        let mut role = self.maintenance.lock().await;
        self.own(&mut role, since).await?;
        self.events.mailbox.announce(Claim::Keeper);
        Ok(())
    }

    pub(crate) async fn unlock_by_hand(self: &Arc<Self>) -> Result<()> {
        self.check_lock_feature()?;
        let session = self.clone();
        // A hand-over that has begun goes to its end, whatever becomes of who asked for it.
        let task = tokio::spawn(async move {
            let mut role = session.maintenance.lock().await;
            if matches!(&*role, Role::Reader(_)) {
                return Err(crate::api::error::invalid("this handle does not hold the lock"));
            }
            session.hand_over(&mut role).await
        });
        task.await.unwrap_or_else(|error| Err(Error::new(ErrorKind::Canceled, error.to_string())))
    }

    /// Whether this handle owns the image and the store still knows. `Fenced`: this client was fenced off.
    #[compiled_here]
    pub(crate) async fn confirm_owner(&self) -> Result<bool> {
        self.check_open()?;
        let owns = self.owns();
        let state = match self.objects.meta.lock_state(&self.objects.header(), lock::LOCK_NAME).await {
            Ok(state) => state,
            // Nothing that this client still has can ever be written.
            Err(error) if error.kind == StoreErrorKind::Fenced => {
                self.shared.fail(error.clone().into());
                return Err(error.into());
            }
            // Who may not look does not own it.
            Err(_) if !owns => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let (client, _) = self.objects.meta.identity();
        Ok(owns && state.lockers.iter().any(|holder| holder.client == client))
    }

    /// The lock's owner, `NotFound` if there is none.
    #[compiled_here]
    pub(crate) async fn lock_owner(&self) -> Result<Locker> {
        self.check_lock_feature()?;
        let holder = lock::managed_holder(&self.objects).await?;
        holder.ok_or_else(|| Error::new(ErrorKind::NotFound, "nobody holds the lock"))
    }

    /// Takes the lock away from the owner at `addr`, who is fenced off the cluster. `NotFound`, `Busy` (somebody else holds
    /// it, or this client itself).
    #[compiled_here]
    pub(crate) async fn break_owner(&self, addr: &str) -> Result<()> {
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the image is open read-only"));
        }
        let holder = self.lock_owner().await?;
        if holder.addr != addr {
            return Err(Error::new(ErrorKind::Busy, format!("the lock is held at {}, not at {addr}", holder.addr)));
        }
        if holder.client == self.objects.meta.identity().0 {
            return Err(Error::new(ErrorKind::Busy, "a client cannot break its own lock"));
        }
        lock::evict(&self.objects, &holder).await
    }

    #[compiled_here]
    pub(crate) async fn advisory_state(&self) -> Result<LockState> {
        self.check_open()?;
        Ok(self.objects.meta.lock_state(&self.objects.header(), lock::LOCK_NAME).await?)
    }

    /// An advisory lock for people's own purposes; `tag`: a shared one. `Busy`, `Exists`.
    #[compiled_here]
    pub(crate) async fn advisory_lock(&self, cookie: &str, tag: Option<&str>) -> Result<()> {
        self.check_open()?;
        let mode = if tag.is_some() { LockMode::Shared } else { LockMode::Exclusive };
        let (name, tag) = (lock::LOCK_NAME.to_owned(), tag.unwrap_or_default().to_owned());
        let request = LockRequest { name, cookie: cookie.to_owned(), mode, tag };
        self.objects.meta.lock(&self.objects.header(), request).await?;
        watch::notify(&self.objects, Notice::HeaderChanged).await;
        Ok(())
    }

    #[compiled_here]
    pub(crate) async fn advisory_unlock(&self, cookie: &str) -> Result<()> {
        self.check_open()?;
        self.objects.meta.unlock(&self.objects.header(), lock::LOCK_NAME, cookie).await?;
        watch::notify(&self.objects, Notice::HeaderChanged).await;
        Ok(())
    }

    /// `client` as `client.4123`. Its holder is fenced off the cluster first, as `rbd_blocklist_on_break_lock` has it.
    #[compiled_here]
    pub(crate) async fn advisory_break(&self, client: &str, cookie: &str) -> Result<()> {
        let state = self.advisory_state().await?;
        let mut holders = state.lockers.iter();
        let held = holders.find(|holder| holder.client == client && holder.cookie == cookie);
        let holder =
            held.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{client} holds no lock {cookie:?}")))?;
        lock::evict(&self.objects, holder).await?;
        watch::notify(&self.objects, Notice::HeaderChanged).await;
        Ok(())
    }
}

fn kept(holder: &Locker) -> Error {
    let reason = format!("{} at {} took the lock by hand and keeps it", holder.client, holder.addr);
    Error::new(ErrorKind::ReadOnly, reason)
}

/// Gives the image back whenever somebody else wants it.
pub(crate) async fn hand_over_on_request(session: Weak<Session>, events: Arc<HeaderEvents>) {
    loop {
        events.mailbox.lock_wanted.notified().await;
        let Some(session) = session.upgrade() else { return };
        session.yield_lock().await;
    }
}
