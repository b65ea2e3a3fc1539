//! Changes of an image that another process may own: who carries one out, and that it happens once.
//!
//! Owns: asking the owner, carrying out what others ask, what a change that comes again may do. Does not own: the changes
//! themselves (`changes.rs`), what an owner remembers (`mailbox.rs`).
use crate::api::error::{invalid, too_large};
use crate::api::limits::{LOCK_POLL, OWNER_PATIENCE, REQUEST_POLL};
use crate::api::options::Level;
use crate::api::pool_metadata;
use crate::checkpoint::Checkpointer;
use crate::compiled_here;
use crate::ownership::mailbox::Pending;
use crate::ownership::watch::{self, HeaderEvents};
use crate::session::Session;
use crate::session::flatten::Adopted;
use crate::{Error, ErrorKind, Features, Progress, Result};
use futures::future::BoxFuture;
use lsd_core::format::notice::{Answer, Notice, Operation, RequestId};
use lsd_core::units::MAX_IMAGE_BYTES;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::time::Instant;

/// Requests of this process: a number is not given twice, whatever becomes of watches and handles.
static REQUESTS: AtomicU64 = AtomicU64::new(1);

/// What is left to do of a change that may have been made before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    All,
    Nothing,
    /// Somebody else has changed the same thing since.
    Overtaken,
}

/// A change from `from` to `to`; `repeated`: an owner may have made it already, without an answer.
pub(super) fn left<T: PartialEq>(repeated: bool, now: &T, from: &T, to: &T) -> Left {
    match () {
        () if !repeated || now == from => Left::All,
        () if now == to => Left::Nothing,
        () => Left::Overtaken,
    }
}

impl Session {
    pub(crate) async fn resize(self: &Arc<Self>, size: u64, allow_shrink: bool, progress: Progress<'_>) -> Result<()> {
        if size > MAX_IMAGE_BYTES {
            return Err(too_large(size));
        }
        self.look_at_header().await?;
        let from = self.described().state.size;
        self.maintain(Operation::Resize { from, to: size, allow_shrink }, progress).await
    }

    pub(crate) async fn metadata_set(self: &Arc<Self>, name: &str, value: &str) -> Result<()> {
        pool_metadata::check(name, value, Level::Image)?;
        self.look_at_header().await?;
        let from = self.described().metadata.get(name).cloned();
        let operation = Operation::SetMetadata { key: name.to_owned(), from, to: Some(value.to_owned()) };
        self.maintain(operation, &|_, _| Ok(())).await
    }

    pub(crate) async fn metadata_remove(self: &Arc<Self>, name: &str) -> Result<()> {
        self.look_at_header().await?;
        let from = self.described().metadata.get(name).cloned();
        if from.is_none() {
            return Err(Error::new(ErrorKind::NotFound, format!("no metadata {name:?}")));
        }
        self.maintain(Operation::SetMetadata { key: name.to_owned(), from, to: None }, &|_, _| Ok(())).await
    }

    /// librbd's rules of `rbd_update_features`.
    pub(crate) async fn update_features(self: &Arc<Self>, features: u64, enabled: bool) -> Result<()> {
        self.look_at_header().await?;
        let from = self.described().state.features;
        let mask = features_to_change(from, features, enabled)?;
        let to = if enabled { from | mask } else { from & !mask };
        self.maintain(Operation::SetFeatures { mask, from, to }, &|_, _| Ok(())).await
    }

    /// Someone else's changes that this handle may not have heard of yet.
    pub(crate) async fn look_at_header(&self) -> Result<()> {
        self.check_open()?;
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the image is open read-only"));
        }
        if self.owns() { Ok(()) } else { self.describe_in_order().await }
    }

    /// With the maintenance lock held while the header is read: what comes from it is never older than what an owner knows by then, and
    /// makes its next change by.
    #[compiled_here]
    pub(super) async fn describe_in_order(&self) -> Result<()> {
        let role = self.maintenance.lock().await;
        match &*role {
            crate::session::Role::Owner(..) => self.settle().await,
            crate::session::Role::Reader(_) => self.describe_anew().await,
        }
    }

    /// Carries the change out, here if nobody else owns the image, else by its owner.
    pub(crate) fn maintain<'a>(
        self: &'a Arc<Self>,
        operation: Operation,
        progress: Progress<'a>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let patience = self.settings().watch_timeout + OWNER_PATIENCE;
            let mut deadline = Instant::now() + patience;
            let mut asked: Option<RequestId> = None;
            loop {
                self.check_open()?;
                {
                    let mut role = self.maintenance.lock().await;
                    if self.own_if_free(&mut role).await?
                        && let Some(checkpointer) = role.checkpointer()
                    {
                        self.carry_out(&checkpointer, &operation, asked.is_some(), progress).await?;
                        drop(role);
                        self.published().await;
                        return Ok(());
                    }
                }
                let done = self.events.mailbox.request_done.notified();
                let (id, repeated) = match asked {
                    Some(id) => (id, true),
                    None => (self.new_request()?, false),
                };
                asked = Some(id);
                let notice = Notice::Request { id, repeated, operation: operation.clone() };
                let pause = match watch::ask(&self.objects, &notice).await? {
                    Some(Answer::Finished { errno: 0, .. }) => return self.refresh().await,
                    Some(Answer::Finished { errno, why }) => {
                        return Err(Error::from_errno(errno as i32, format!("the owner of the image: {why}")));
                    }
                    Some(Answer::Unsupported) => {
                        return Err(Error::new(ErrorKind::Unsupported, "the image's owner does not know this request"));
                    }
                    Some(Answer::Running { done, total }) => {
                        deadline = Instant::now() + patience;
                        // Who gives up waits no longer; the owner goes on.
                        progress(done, total)?;
                        REQUEST_POLL
                    }
                    _ => LOCK_POLL,
                };
                if Instant::now() >= deadline {
                    return Err(Error::new(ErrorKind::TimedOut, "the owner of the image does not answer"));
                }
                tokio::select! {
                    () = done => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        })
    }

    pub(super) fn new_request(&self) -> Result<RequestId> {
        let (client, _) = self.objects.meta.identity();
        let client = client.trim_start_matches("client.").parse().unwrap_or_default();
        let watch =
            self.watch().ok_or_else(|| Error::new(ErrorKind::Permission, "a requester must watch the header"))?;
        Ok(RequestId { client, watch: watch.0, number: REQUESTS.fetch_add(1, Ordering::Relaxed) })
    }

    /// With the maintenance lock held, by the owner.
    async fn carry_out(
        self: &Arc<Self>,
        checkpointer: &Checkpointer,
        operation: &Operation,
        repeated: bool,
        progress: Progress<'_>,
    ) -> Result<()> {
        self.settle().await?;
        let described = self.described().clone();
        let left = match operation {
            Operation::Resize { from, to, .. } => left(repeated, &described.state.size, from, to),
            Operation::SetMetadata { key, from, to } => left(repeated, &described.metadata.get(key).cloned(), from, to),
            Operation::SetFeatures { mask, from, to } => {
                left(repeated, &(described.state.features & mask), &(from & mask), &(to & mask))
            }
            Operation::Snap(operation) => self.left_of_snap(repeated, operation),
            // What was done once does no harm twice.
            Operation::Sparsify { .. } | Operation::Migrate => Left::All,
            Operation::Flatten if repeated && !described.can_be_flattened() => Left::Nothing,
            Operation::Flatten => Left::All,
        };
        match left {
            Left::Nothing => return Ok(()),
            Left::Overtaken => {
                let reason = "somebody changed the same thing after this request was made";
                return Err(Error::new(ErrorKind::Canceled, reason));
            }
            Left::All => {}
        }
        match operation {
            Operation::Resize { to, allow_shrink, .. } => self.resize_owned(*to, *allow_shrink, progress).await,
            Operation::SetMetadata { key, to, .. } => self.set_metadata_owned(key, to.as_deref()).await,
            Operation::SetFeatures { mask, to, .. } => {
                self.set_features_owned((described.state.features & !mask) | (to & mask)).await
            }
            Operation::Snap(operation) => self.carry_out_snap(checkpointer, operation).await,
            Operation::Flatten => self.flatten_owned(checkpointer, progress).await,
            Operation::Migrate => self.migrate_owned(checkpointer, progress).await,
            Operation::Sparsify { block } => self.sparsify_owned(*block, progress).await,
        }
    }

    /// Works on one request of somebody else, which was made in this ownership.
    async fn serve_one(self: &Arc<Self>, request: Pending, ownership: u64) {
        let (id, mailbox) = (request.id, &self.events.mailbox);
        let progress = |done, total| {
            mailbox.progress(id, done, total);
            Ok(())
        };
        if let Operation::Sparsify { block } = request.operation {
            if !mailbox.is_of(ownership) {
                return;
            }
            let sparsified = self.sparsify_owned(block, &progress).await;
            return self.answer(id, sparsified).await;
        }
        // Most of a flatten needs no more than that this handle owns the image; what is left of it is done below.
        let mut is_adopted = false;
        let whose = match request.operation {
            Operation::Flatten => Some(Adopted::Parents),
            Operation::Migrate => self.adopted_in_migration(),
            _ => None,
        };
        if let Some(whose) = whose {
            let checkpointer = self.maintenance.lock().await.checkpointer();
            if let Some(checkpointer) = checkpointer {
                is_adopted = self.adopt(&checkpointer, whose, &progress).await.is_ok();
            }
        }
        let progress = |done, total| progress(if is_adopted { total } else { done }, total);
        let result = {
            let role = self.maintenance.lock().await;
            let Some(checkpointer) = role.checkpointer() else { return };
            // This handle may have given the image away and got it back while the request waited here.
            if !mailbox.is_of(ownership) {
                return;
            }
            self.carry_out(&checkpointer, &request.operation, request.repeated, &progress).await
        };
        self.answer(id, result).await;
    }

    /// Tells a requester what became of its request.
    async fn answer(&self, id: RequestId, result: Result<()>) {
        let mailbox = &self.events.mailbox;
        match result {
            Ok(()) => {
                self.published().await;
                mailbox.finish(id, Answer::Finished { errno: 0, why: String::new() });
            }
            // An owner that was pushed aside knows nothing of what its successor does.
            Err(error) if matches!(error.kind, ErrorKind::Fenced | ErrorKind::Closed) => return mailbox.forget(id),
            Err(error) => mailbox.finish(id, Answer::Finished { errno: error.errno() as u32, why: error.to_string() }),
        }
        watch::notify_soon(&self.objects, Notice::RequestDone(id));
    }
}

/// Which bits change, by librbd's rules.
fn features_to_change(now: u64, features: u64, enabled: bool) -> Result<u64> {
    const MAPS: u64 = Features::OBJECT_MAP | Features::FAST_DIFF;
    const MUTABLE: u64 = Features::EXCLUSIVE_LOCK | MAPS | Features::JOURNALING;
    let allowed = if enabled { MUTABLE } else { MUTABLE | Features::DEEP_FLATTEN };
    if features & !allowed != 0 || features == 0 {
        return Err(invalid("these features cannot be changed"));
    }
    // fast-diff and object-map come and go together.
    let pulled_in = features & MAPS != 0 && if enabled { now & MAPS == 0 } else { now & MAPS == MAPS };
    let mask = if pulled_in { features | MAPS } else { features };
    let already = if enabled { mask & now } else { mask & !now };
    if already != 0 {
        return Err(invalid("one of the features is in that state already"));
    }
    if enabled && mask & (MAPS | Features::JOURNALING) != 0 && (now | mask) & Features::EXCLUSIVE_LOCK == 0 {
        return Err(invalid("object-map and journaling need exclusive-lock"));
    }
    if !enabled && mask & Features::EXCLUSIVE_LOCK != 0 && now & !mask & (MAPS | Features::JOURNALING) != 0 {
        return Err(invalid("object-map and journaling need exclusive-lock"));
    }
    Ok(mask)
}

/// Carries out what other clients ask of this owner, one after the other but for what takes long.
pub(crate) async fn serve(session: Weak<Session>, events: Arc<HeaderEvents>) {
    loop {
        events.mailbox.request_came.notified().await;
        while let Some((request, ownership)) = events.mailbox.next_request() {
            let Some(session) = session.upgrade() else { return };
            if matches!(request.operation, Operation::Flatten | Operation::Migrate | Operation::Sparsify { .. }) {
                // It may take hours: others are served meanwhile.
                let serving = session.clone();
                session.spawn(async move { serving.serve_one(request, ownership).await });
                continue;
            }
            session.serve_one(request, ownership).await;
        }
    }
}

#[cfg(test)]
mod tests;
