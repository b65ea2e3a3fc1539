//! Who wants to be quiet while a snapshot is taken (librbd's quiesce watches), as one handle has them.
//!
//! Owns: the watches of this handle, for which snapshots they are quiet, what is answered to who takes one, and that they go on when
//! nobody needs it any more. Does not own: taking one, what the header says of them (`session/quiesce/`), the bytes
//! (`lsd_core::format::notice`).
use crate::api::limits::{QUIESCE_LAPSED_KEPT, QUIESCE_SILENCE};
use crate::{Error, ErrorKind, QuiesceEvent, Result};
use lsd_core::format::notice::{Answer, RequestId};
use nix::libc;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

type Listener = Arc<dyn Fn(QuiesceEvent) + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Nothing was asked of it, or it was told to go on.
    Loud,
    /// It was asked and has not answered.
    Asked,
    /// It has answered, perhaps that it could not. It is told to go on in either case, as by librbd.
    Answered,
}

struct Watch {
    listener: Listener,
    stand: Stand,
}

/// A snapshot that needs this handle quiet.
struct Need {
    /// When it was heard of last.
    heard: Instant,
    /// It was told that the handle is quiet; what comes after that is another one's.
    is_met: bool,
}

#[derive(Default)]
struct Book {
    watches: BTreeMap<u64, Watch>,
    last: u64,
    /// Several snapshots share it: who is quiet already is not asked again, so that two of them never wait for each other.
    needed: BTreeMap<RequestId, Need>,
    /// Why it is not quiet: the first answer that said so.
    errno: Option<u32>,
    /// Snapshots of which nothing was heard for too long, and which do not know yet that this handle went on.
    lapsed: VecDeque<RequestId>,
    /// Calls in their order, and whether somebody makes them.
    calls: VecDeque<(Listener, QuiesceEvent)>,
    calling: bool,
}

impl Book {
    fn answer(&self) -> Answer {
        match self.errno {
            Some(errno) => Answer::Quiesced { errno },
            None if self.is_asking() => Answer::Quiescing,
            None => QUIET,
        }
    }

    /// For a snapshot that needs this handle quiet.
    fn answer_to(&mut self, id: RequestId) -> Option<Answer> {
        let answer = self.answer();
        let need = self.needed.get_mut(&id)?;
        need.heard = Instant::now();
        need.is_met |= answer == QUIET;
        Some(if need.is_met { QUIET } else { answer })
    }

    fn is_asking(&self) -> bool {
        self.watches.values().any(|watch| watch.stand == Stand::Asked)
    }

    fn tell(&mut self, from: Stand, to: Stand, event: QuiesceEvent) {
        for watch in self.watches.values_mut().filter(|watch| watch.stand == from) {
            watch.stand = to;
            self.calls.push_back((watch.listener.clone(), event));
        }
    }

    /// Who has not answered yet goes on when it does.
    fn go_on_unless_needed(&mut self) {
        if self.needed.is_empty() {
            self.errno = None;
            self.tell(Stand::Answered, Stand::Loud, QuiesceEvent::Unquiesce);
        }
    }
}

/// What the header has of this handle, as long as it has watches.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(crate) key: String,
    /// What goes on in time where nothing is heard of who takes a snapshot.
    pub(crate) going_on: AbortHandle,
}

#[derive(Default)]
pub(crate) struct Quiet {
    book: Mutex<Book>,
    /// Somebody said that there may be clients who want to be quiet, of whom the header as it was read last knows nothing.
    rumour: AtomicBool,
    /// `None`: it has no watches, or the first of them is being told of.
    pub(crate) mark: tokio::sync::Mutex<Option<Mark>>,
    /// There is a new time to look at the clock, or an answer to be told.
    pub(crate) changed: Notify,
}

impl Quiet {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, listener: Listener) -> u64 {
        let mut book = self.book();
        book.last += 1;
        let number = book.last;
        book.watches.insert(number, Watch { listener, stand: Stand::Loud });
        number
    }

    /// It is told nothing any more, not even to go on. True: it was the last one. `NotFound`.
    pub(crate) fn remove(&self, watch: u64) -> Result<bool> {
        let mut book = self.book();
        if book.watches.remove(&watch).is_none() {
            return Err(Error::new(ErrorKind::NotFound, format!("no quiesce watch {watch}")));
        }
        if book.watches.is_empty() {
            book.needed.clear();
            book.errno = None;
        }
        self.changed.notify_one();
        Ok(book.watches.is_empty())
    }

    pub(crate) fn has_watches(&self) -> bool {
        !self.book().watches.is_empty()
    }

    /// All of them.
    pub(crate) fn clear(&self) {
        let mut book = self.book();
        book.watches.clear();
        book.needed.clear();
        book.errno = None;
    }

    /// What a watch says to [`QuiesceEvent::Quiesce`]: 0, or a positive errno. What was not asked is not listened to.
    pub(crate) fn complete(&self, watch: u64, errno: u32) {
        {
            let mut book = self.book();
            let is_needed = !book.needed.is_empty();
            let Some(found) = book.watches.get_mut(&watch).filter(|watch| watch.stand == Stand::Asked) else { return };
            found.stand = Stand::Answered;
            if errno != 0 && is_needed {
                book.errno.get_or_insert(errno);
            }
            book.go_on_unless_needed();
        }
        self.changed.notify_one();
        self.make_calls();
    }

    /// Somebody takes a snapshot. `None`: nobody here wants to be quiet for it.
    pub(crate) fn asked(&self, id: RequestId, begin: bool) -> Option<Answer> {
        let answer = {
            let mut book = self.book();
            if book.lapsed.contains(&id) {
                return Some(LATE);
            }
            if let Some(answer) = book.answer_to(id) {
                return Some(answer);
            }
            if !begin || book.watches.is_empty() {
                return None;
            }
            // Who was asked for another snapshot and is late answers first; and that somebody could not be quiet for another one is
            // told to that one only.
            if book.needed.is_empty() && book.is_asking() || book.errno.is_some() {
                return Some(Answer::Quiescing);
            }
            book.tell(Stand::Loud, Stand::Asked, QuiesceEvent::Quiesce);
            book.needed.insert(id, Need { heard: Instant::now(), is_met: false });
            book.answer_to(id)
        };
        self.changed.notify_one();
        self.make_calls();
        answer
    }

    /// A snapshot was taken, or not. `None`: this handle was not quiet for it.
    pub(crate) fn ended(&self, id: RequestId) -> Option<Answer> {
        let answer = {
            let mut book = self.book();
            if let Some(at) = book.lapsed.iter().position(|lapsed| *lapsed == id) {
                book.lapsed.remove(at);
                return Some(LATE);
            }
            let answer = book.answer_to(id)?;
            book.needed.remove(&id);
            let answer = if answer == Answer::Quiescing { LATE } else { answer };
            book.go_on_unless_needed();
            answer
        };
        self.make_calls();
        Some(answer)
    }

    /// Whoever takes a snapshot and says nothing for too long has died, or cannot be heard: this handle goes on. Returns how many they
    /// were.
    pub(crate) fn give_up_silent(&self) -> usize {
        let late = {
            let mut book = self.book();
            let silent = |need: &Need| need.heard.elapsed() >= QUIESCE_SILENCE;
            let late: Vec<_> = book.needed.iter().filter(|(_, need)| silent(need)).map(|(id, _)| *id).collect();
            for id in &late {
                book.needed.remove(id);
                book.lapsed.push_back(*id);
            }
            while book.lapsed.len() > QUIESCE_LAPSED_KEPT {
                book.lapsed.pop_front();
            }
            if !late.is_empty() {
                book.go_on_unless_needed();
            }
            late.len()
        };
        self.make_calls();
        late
    }

    /// When [`Quiet::give_up_silent`] has something to do, unless something is heard.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.book().needed.values().map(|need| need.heard + QUIESCE_SILENCE).min()
    }

    /// The snapshots that wait for nobody here any more.
    pub(crate) fn answered(&self) -> Vec<RequestId> {
        let book = self.book();
        let waiting = book.needed.iter().filter(|(_, need)| !need.is_met).map(|(id, _)| *id);
        if book.answer() == Answer::Quiescing { Vec::new() } else { waiting.collect() }
    }

    /// One after the other, in their order and without the lock: a listener may answer at once.
    fn make_calls(&self) {
        {
            let mut book = self.book();
            if std::mem::replace(&mut book.calling, true) {
                return;
            }
        }
        loop {
            let (listener, event) = {
                let mut book = self.book();
                let Some(call) = book.calls.pop_front() else {
                    book.calling = false;
                    return;
                };
                call
            };
            listener(event);
        }
    }

    pub(crate) fn hear_rumour(&self) {
        self.rumour.store(true, Ordering::Release);
    }

    pub(crate) fn has_rumour(&self) -> bool {
        self.rumour.load(Ordering::Acquire)
    }

    pub(crate) fn forget_rumour(&self) {
        self.rumour.store(false, Ordering::Release);
    }
}

const QUIET: Answer = Answer::Quiesced { errno: 0 };
const LATE: Answer = Answer::Quiesced { errno: libc::ETIMEDOUT as u32 };
