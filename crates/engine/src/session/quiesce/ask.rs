//! Making all clients quiet that want to be so while a snapshot is taken.
//!
//! Owns: asking them, for how long, keeping them quiet meanwhile, letting them go on. Does not own: taking the snapshot
//! (`session/snapshots/`, `group/`), being asked (`mod.rs`, `ownership/quiet.rs`).
//!
//! Who takes the snapshot asks, whoever owns the image, and holds nothing meanwhile: a client that becomes quiet may have to write
//! first, and to become the owner for that.
use crate::api::limits::{QUIESCE_AGAIN, QUIESCE_ATTEMPT, QUIESCE_SILENCE, REQUEST_POLL};
use crate::ownership::watch;
use crate::session::Session;
use crate::{Error, ErrorKind, Progress, Quiesce, Result};
use lsd_core::format::header::key;
use lsd_core::format::notice::{self, Answer, Notice, RequestId};
use lsd_store::{KvMap, KvPresence, KvUpdate, NotifyReply, Watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{Instant, sleep, sleep_until};

/// Clients that are quiet, or are becoming so, until this ends. Where it is dropped they are told, too.
#[derive(Debug)]
pub(crate) struct Hush {
    session: Arc<Session>,
    id: RequestId,
    mode: Quiesce,
    /// Who said that it is quiet: client and cookie.
    quiet: BTreeSet<(u64, u64)>,
    /// When their clients said so last.
    heard: Mutex<BTreeMap<u64, Instant>>,
    /// Clients that answered the last question, whatever they said.
    present: BTreeSet<u64>,
    has_ended: bool,
}

impl Session {
    /// As far as this handle knows, which has looked at the header.
    pub(crate) fn has_to_hush(&self, mode: Quiesce) -> bool {
        mode != Quiesce::Skip && (!self.described().quiesce.is_empty() || self.events.quiet.has_rumour())
    }

    /// `None`: there is nobody to ask, which costs no operation of the store. An error: one of them cannot be quiet (its own error), or
    /// `TimedOut`; all may go on then.
    pub(crate) async fn hush(self: &Arc<Self>, mode: Quiesce, progress: Progress<'_>) -> Result<Option<Hush>> {
        if !self.has_to_hush(mode) {
            return Ok(None);
        }
        let id = self.new_request()?;
        // Who begins to watch from here on says so again.
        self.events.quiet.forget_rumour();
        let known = self.described().quiesce.clone();
        let mut hush = Hush::new(self.clone(), id, mode);
        match hush.begin(progress).await {
            Ok(()) if hush.quiet.is_empty() => {
                hush.has_ended = true;
                self.forget_dead(known).await;
                Ok(None)
            }
            Ok(()) => {
                let is_gone = |name: &String| !key::quiesce_client(name).is_some_and(|it| hush.present.contains(&it));
                hush.during(self.forget_dead(known.into_iter().filter(|(name, _)| is_gone(name)).collect())).await;
                Ok(Some(hush))
            }
            Err(error) if mode == Quiesce::IgnoreErrors => {
                tracing::warn!(target: "lsd::header", image = self.shared.image, op = "quiesce", %error,
                    "a snapshot is taken though not all clients are quiet");
                Ok(Some(hush))
            }
            Err(error) => {
                let _ = hush.end().await;
                Err(error)
            }
        }
    }

    /// Keys in the header of clients that are gone, exactly as they were before nobody answered for them.
    async fn forget_dead(&self, known: KvMap) {
        for (key, value) in known {
            self.described().quiesce.remove(&key);
            let remove = KvUpdate::default().presence(KvPresence::MustExist).expect(key.as_str(), value).remove(key);
            // Where it has changed its client lives; where this fails the next one finds it again.
            let _ = self.objects.meta.kv_update(&self.objects.header(), remove).await;
        }
        debug_assert!(self.described().quiesce.keys().all(|name| name.starts_with(key::QUIESCE)));
    }
}

impl Hush {
    fn new(session: Arc<Session>, id: RequestId, mode: Quiesce) -> Self {
        let (quiet, heard, present) = Default::default();
        Self { session, id, mode, quiet, heard, present, has_ended: false }
    }

    /// Until everybody has answered. Nobody at all is no error.
    async fn begin(&mut self, progress: Progress<'_>) -> Result<()> {
        let attempts = self.session.settings().quiesce_attempts;
        let began = Instant::now();
        let most = QUIESCE_ATTEMPT.saturating_mul(u32::try_from(attempts).unwrap_or(u32::MAX));
        let mut told = 0;
        loop {
            let session = self.session.clone();
            let changed = session.events.mailbox.request_done.notified();
            let reply = watch::tell_all(&session.objects, &Notice::Quiesce { id: self.id, begin: true }).await?;
            let is_waiting = self.take(&reply)? || !reply.timed_out.is_empty();
            let passed = began.elapsed();
            // librbd tells how many attempts there were, and looks at no answer.
            let attempt = (passed.as_secs() / QUIESCE_ATTEMPT.as_secs() + u64::from(!is_waiting)).min(attempts);
            if attempt > told && (is_waiting || !self.quiet.is_empty()) {
                told = attempt;
                let _ = progress(attempt, attempts);
            }
            if !is_waiting {
                return Ok(());
            }
            if passed >= most {
                return Err(Error::new(ErrorKind::TimedOut, "not all clients became quiet for a snapshot"));
            }
            tokio::select! {
                () = changed => {}
                () = sleep(REQUEST_POLL.min(most - passed)) => {}
            }
        }
    }

    /// True: somebody has not answered yet.
    fn take(&mut self, reply: &NotifyReply) -> Result<bool> {
        let mut is_waiting = false;
        self.quiet.clear();
        self.present = reply.acks.iter().map(|(watcher, _)| watcher.client).collect();
        self.hear(reply);
        for (watcher, bytes) in &reply.acks {
            match notice::decode_answer(bytes) {
                Ok(Answer::Quiescing) => is_waiting = true,
                Ok(Answer::Quiesced { errno: 0 }) => drop(self.quiet.insert(name(watcher))),
                Ok(Answer::Quiesced { errno }) => {
                    let reason = format!("client.{} could not become quiet for a snapshot", watcher.client);
                    return Err(Error::from_errno(errno.cast_signed(), reason));
                }
                // Whoever says something else, or nothing, does not want to be quiet.
                _ => {}
            }
        }
        Ok(is_waiting)
    }

    fn hear(&self, reply: &NotifyReply) {
        let is_quiet = |bytes: &[u8]| matches!(notice::decode_answer(bytes), Ok(Answer::Quiesced { errno: 0 }));
        let clients = reply.acks.iter().filter(|(_, bytes)| is_quiet(bytes)).map(|(watcher, _)| watcher.client);
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(clients.map(|client| (client, Instant::now())));
    }

    /// Somebody who was quiet is not there any more, and was not heard for so long that it may have gone on. Who closes its image goes
    /// without a word, and was heard until then.
    fn is_missing(&self, reply: &NotifyReply) -> bool {
        let answers = |client: u64| reply.acks.iter().any(|(watcher, _)| watcher.client == client);
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = |client: u64| heard.get(&client).is_none_or(|heard| heard.elapsed() >= QUIESCE_SILENCE);
        self.quiet.iter().any(|(client, _)| !answers(*client) && is_silent(*client))
    }

    /// Does the work, and keeps them quiet meanwhile.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let again = async {
            loop {
                let next = Instant::now() + QUIESCE_AGAIN;
                // Whether they have stayed quiet is asked at the end.
                let said = watch::tell_all(&self.session.objects, &Notice::Quiesce { id: self.id, begin: false }).await;
                if let Ok(reply) = said {
                    self.hear(&reply);
                }
                sleep_until(next).await;
            }
        };
        tokio::select! {
            done = &mut work => done,
            () = async { sleep(QUIESCE_AGAIN).await; again.await } => unreachable!("it has no end"),
        }
    }

    /// Lets them go on. `TimedOut`: one of them may have gone on before, because it heard nothing of this client for too long.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.has_ended = true;
        let reply = watch::tell_all(&self.session.objects, &Notice::Unquiesce(self.id)).await;
        if self.mode == Quiesce::IgnoreErrors {
            return Ok(());
        }
        let reply = reply?;
        let is_late = |bytes: &[u8]| matches!(notice::decode_answer(bytes), Ok(Answer::Quiesced { errno: 1.. }));
        let is_silent = |watcher: &Watcher| self.quiet.contains(&name(watcher));
        let is_one_late = reply.acks.iter().any(|(_, bytes)| is_late(bytes));
        match is_one_late || reply.timed_out.iter().any(is_silent) || self.is_missing(&reply) {
            false => Ok(()),
            true => Err(Error::new(ErrorKind::TimedOut, "not all clients stayed quiet while the snapshot was taken")),
        }
    }
}

impl Drop for Hush {
    fn drop(&mut self) {
        if !self.has_ended && tokio::runtime::Handle::try_current().is_ok() {
            watch::notify_soon(&self.session.objects, Notice::Unquiesce(self.id));
        }
    }
}

fn name(watcher: &Watcher) -> (u64, u64) {
    (watcher.client, watcher.cookie)
}
