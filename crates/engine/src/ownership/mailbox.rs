//! What a handle answers to notices, at once and without asking anybody.
//!
//! Owns: whether this handle is the owner as far as others are told, and the requests of this ownership with what became of
//! them. Does not own: acting on a notice (`handover.rs`, `requests.rs`), the bytes (`lsd_core::format::notice`).
use crate::api::limits::REQUESTS_KEPT;
use crate::api::stats::{Counters, Stat};
use lsd_core::format::notice::{Answer, Operation, RequestId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What others are told of this handle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Claim {
    #[default]
    Reader,
    Owner,
    /// An owner who took the lock by hand and does not give it away.
    Keeper,
    /// One who owns the image no more and could not give the lock back: it tries again when somebody asks.
    Leaver,
}

impl Claim {
    fn owns(self) -> bool {
        matches!(self, Claim::Owner | Claim::Keeper)
    }
}

/// A request that nobody has worked on yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) id: RequestId,
    pub(crate) repeated: bool,
    pub(crate) operation: Operation,
}

#[derive(Debug, Default)]
struct Book {
    claim: Claim,
    /// Which ownership it is, of those that this handle had.
    ownership: u64,
    pending: VecDeque<Pending>,
    /// Every request of this ownership: an answer stays, so that a request which comes again is not carried out again.
    answers: BTreeMap<RequestId, Answer>,
    /// Finished requests, oldest first.
    finished: VecDeque<RequestId>,
}

#[derive(Debug, Default)]
pub(crate) struct OwnerMailbox {
    book: Mutex<Book>,
    /// Somebody else wants to write.
    pub(crate) lock_wanted: Notify,
    /// A request waits to be carried out.
    pub(crate) request_came: Notify,
    /// Some owner gave the lock back.
    pub(crate) lock_released: Notify,
    /// Some request has a result.
    pub(crate) request_done: Notify,
    /// What the handle has counted, for whoever asks.
    pub(crate) counters: Arc<Counters>,
}

impl OwnerMailbox {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The beginning or the end of an ownership, or a change of how it is kept. What was asked of the last one is forgotten at
    /// its end: its requesters ask the next.
    pub(crate) fn announce(&self, claim: Claim) {
        let mut book = self.book();
        if !claim.owns() {
            *book = Book { ownership: book.ownership + 1, ..Book::default() };
        }
        book.claim = claim;
    }

    pub(crate) fn keeps(&self) -> bool {
        self.book().claim == Claim::Keeper
    }

    pub(crate) fn lock_requested(&self) -> Option<Answer> {
        match self.book().claim {
            Claim::Reader => None,
            Claim::Keeper => Some(Answer::Keeps),
            Claim::Owner | Claim::Leaver => {
                self.lock_wanted.notify_one();
                Some(Answer::WillRelease)
            }
        }
    }

    pub(crate) fn requested(&self, request: Pending) -> Option<Answer> {
        let mut book = self.book();
        if !book.claim.owns() {
            return None;
        }
        if let Some(known) = book.answers.get(&request.id) {
            return Some(known.clone());
        }
        let accepted = Answer::Running { done: 0, total: 1 };
        book.answers.insert(request.id, accepted.clone());
        book.pending.push_back(request);
        self.request_came.notify_one();
        Some(accepted)
    }

    /// To a notice of a later version: nobody but the owner has to say that it does not know it.
    pub(crate) fn unknown(&self) -> Option<Answer> {
        self.book().claim.owns().then_some(Answer::Unsupported)
    }

    /// Says it whether this handle owns the image or not.
    pub(crate) fn stats_wanted(&self) -> Answer {
        let named = |stat: Stat| (format!("{}.{}", stat.group, stat.name), stat.value);
        Answer::Stats(self.counters.all().into_iter().map(named).collect())
    }

    /// Also the ownership in which it was asked.
    pub(crate) fn next_request(&self) -> Option<(Pending, u64)> {
        let mut book = self.book();
        book.pending.pop_front().map(|request| (request, book.ownership))
    }

    /// False: that ownership is over. Whoever asked in it asks the next owner, and may have its answer by now.
    pub(crate) fn is_of(&self, ownership: u64) -> bool {
        self.book().ownership == ownership
    }

    pub(crate) fn progress(&self, id: RequestId, done: u64, total: u64) {
        if let Some(answer @ Answer::Running { .. }) = self.book().answers.get_mut(&id) {
            *answer = Answer::Running { done, total };
        }
    }

    /// Keeps the result for a requester who asks again. Nothing happens if the ownership has ended meanwhile.
    pub(crate) fn finish(&self, id: RequestId, result: Answer) {
        let mut book = self.book();
        let Some(answer) = book.answers.get_mut(&id) else { return };
        *answer = result;
        book.finished.push_back(id);
        if book.finished.len() > REQUESTS_KEPT
            && let Some(oldest) = book.finished.pop_front()
        {
            book.answers.remove(&oldest);
        }
    }

    /// The request was not carried out and will not be: another owner may.
    pub(crate) fn forget(&self, id: RequestId) {
        self.book().answers.remove(&id);
    }
}
