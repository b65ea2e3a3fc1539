//! The state under its lock, with what belongs beside it: why the image failed, and where the state's jobs go.
//!
//! Owns: that time is told to the state when it is locked, and that what it decided is sent to the appender before the lock is given
//! back, so that jobs arrive in the order of the log. Does not own: the state itself (crate `lsd-state`), who waits for it.
use crate::api::clock::Clock;
use crate::{Error, Result};
use lsd_state::Fault;
use lsd_state::log::{Job, Writer};
use lsd_state::state::State;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard};
use tokio::sync::mpsc::UnboundedSender;

/// Where the jobs of an owner's writer go, and whose time its batches have.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) jobs: UnboundedSender<Job>,
    pub(crate) clock: Arc<dyn Clock>,
}

#[derive(Debug)]
pub(super) struct Held {
    state: State,
    /// As long as the state has a writer.
    outlet: Option<Outlet>,
    /// Why every further call fails.
    failure: Option<Error>,
    /// Why checkpoints have failed for so long that writers do not wait for them any more.
    checkpoint_failure: Option<Error>,
}

impl Held {
    pub(super) fn new(state: State) -> Self {
        Self { state, outlet: None, failure: None, checkpoint_failure: None }
    }

    /// True for the first time.
    pub(super) fn fail(&mut self, error: Error) -> bool {
        let is_news = self.failure.is_none();
        self.failure.get_or_insert(error);
        self.state.fail();
        is_news
    }

    /// What was decided and not sent is not to be sent.
    pub(super) fn forget_jobs(&mut self) {
        self.state.take_jobs();
    }
}

/// Access to the state: for short critical sections, never across I/O.
pub(crate) struct Locked<'a>(MutexGuard<'a, Held>);

impl<'a> Locked<'a> {
    pub(super) fn new(mut held: MutexGuard<'a, Held>) -> Self {
        let Held { state, outlet, .. } = &mut *held;
        if let Some(outlet) = outlet {
            state.tell_time(outlet.clock.now_ns());
        }
        Self(held)
    }

    /// This handle writes from now on.
    pub(crate) fn begin_writing(&mut self, writer: Writer, outlet: Outlet) {
        self.0.state.writer = Some(writer);
        self.0.outlet = Some(outlet);
    }

    /// It does not any more: the appender ends when it has done what was sent to it.
    pub(super) fn end_writing(&mut self) {
        self.send_jobs();
        self.0.state.writer = None;
        self.0.outlet = None;
    }

    /// The image fails for good: every later call says why. True for the first time.
    pub(super) fn fail(&mut self, error: Error) -> bool {
        self.0.fail(error)
    }

    /// Why the image failed, if it did.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.0.failure.as_ref()
    }

    /// The same as an error.
    pub(crate) fn check_alive(&self) -> Result<()> {
        self.0.failure.clone().map_or(Ok(()), Err)
    }

    /// `Invalid` unless the range lies inside the image; the failure if there is one.
    pub(crate) fn check(&self, offset: u64, len: u64) -> Result<()> {
        self.told(self.0.state.check(offset, len))
    }

    /// An event for the state, and its answer as callers are told it.
    pub(crate) fn attempt<T>(&mut self, event: impl FnOnce(&mut State) -> lsd_state::Result<T>) -> Result<T> {
        let answer = event(&mut self.0.state);
        self.told(answer)
    }

    fn told<T>(&self, answer: lsd_state::Result<T>) -> Result<T> {
        answer.map_err(|fault| match (fault, &self.0.failure) {
            (Fault::Failed, Some(failure)) => failure.clone(),
            (fault, _) => fault.into(),
        })
    }

    pub(crate) fn checkpoint_failure(&self) -> Option<&Error> {
        self.0.checkpoint_failure.as_ref()
    }

    pub(crate) fn set_checkpoint_failure(&mut self, failure: Option<Error>) {
        self.0.checkpoint_failure = failure;
    }

    fn send_jobs(&mut self) {
        let Held { state, outlet: Some(outlet), .. } = &mut *self.0 else { return };
        for job in state.take_jobs() {
            // The appender ends before its writer only where the image has failed; then nobody waits for the job.
            let _ = outlet.jobs.send(job);
        }
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.0.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // A panic leaves the state in doubt, and what it decided with it.
        if !std::thread::panicking() {
            self.send_jobs();
        }
    }
}
