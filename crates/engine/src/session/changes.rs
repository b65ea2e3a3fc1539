//! Changes of an open image other than its data, as its owner makes them: size, metadata, features. Each is one update of the
//! header, guarded by the owner's epoch. Who carries one out, and for whom, is in `requests.rs`.
use crate::api::error::invalid;
use crate::api::limits::{APPEND_TRIES, RETRY_FIRST, RETRY_MOST};
use crate::ownership::mailbox::Claim;
use crate::ownership::takeover::guarded;
use crate::ownership::watch::{self, HeaderEvents};
use crate::session::Session;
use crate::shared::locked::Locked;
use crate::{Error, ErrorKind, Features, Progress, Result, UpdateEvent};
use lsd_core::format::header::{AncestryRecord, BaseRecord, StateRecord, encode_text, key};
use lsd_core::format::notice::Notice;
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::units::{Epoch, MAX_IMAGE_BYTES};
use lsd_store::{KvMap, KvUpdate, StoreError, StoreErrorKind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

impl Session {
    pub(crate) fn epoch(&self) -> Result<Epoch> {
        let state = self.shared.lock();
        state.check_alive()?;
        let writer = state.writer.as_ref();
        writer.map(|writer| writer.epoch()).ok_or_else(|| Error::new(ErrorKind::Closed, "the image is closed"))
    }

    /// Applies one guarded change of the header and tells everybody.
    pub(crate) async fn update_header(&self, change: impl FnOnce(KvUpdate) -> KvUpdate) -> Result<()> {
        let update = change(guarded(self.epoch()?));
        let (set, removed) = (update.set.clone(), update.remove.clone());
        match self.objects.meta.kv_update(&self.objects.header(), update).await {
            Ok(()) => Ok(()),
            Err(error) if !matches!(error.kind, StoreErrorKind::TimedOut | StoreErrorKind::Io) => Err(error.into()),
            Err(error) => {
                let values = self.header_after(&error).await?;
                let done = set.iter().all(|(key, value)| values.get(key) == Some(value))
                    && removed.iter().all(|key| !values.contains_key(key));
                if done { Ok(()) } else { Err(error.into()) }
            }
        }
    }

    /// The header after an update of which nobody knows whether it took effect. If it cannot be read either, the update's error, and
    /// this handle is in doubt about the header ([`Session::settle`]).
    async fn header_after(&self, error: &StoreError) -> Result<KvMap> {
        let mut pause = RETRY_FIRST;
        for _ in 0..APPEND_TRIES {
            // A header is read behind the updates that were sent before (`ObjectStore`): what this finds is final.
            match self.objects.read_header().await {
                Ok(values) => return Ok(values),
                // The store has waited for as long as it may.
                Err(error) if error.kind == ErrorKind::TimedOut => break,
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MOST);
        }
        tracing::warn!(target: "lsd::header", image = self.shared.image, op = error.operation, object = error.object, %error,
            "nobody knows whether a change of the header took effect");
        self.in_doubt.store(true, Ordering::Release);
        self.events.header_in_doubt.notify_one();
        Err(error.clone().into())
    }

    /// Before the owner changes the header again: finds out what became of an update of which nobody knows. This handle must not make
    /// a change on the ground of what the header may have no more. With the maintenance lock held.
    pub(crate) async fn settle(&self) -> Result<()> {
        if !self.in_doubt.load(Ordering::Acquire) {
            return Ok(());
        }
        self.describe_anew().await?;
        let (described, overlap) = {
            let described = self.described();
            (described.state, described.base.as_ref().map_or(0, |base| base.overlap))
        };
        {
            let mut state = self.shared.lock();
            (state.view.size, state.view.features) = (described.size, described.features);
            state.view.map.keep_zeroed_below(overlap);
        }
        self.in_doubt.store(false, Ordering::Release);
        // A removal of which nobody knew may have happened. Where none has, nobody is woken: what is due after a removal reads the roots
        // of all snapshots, and changes the header itself.
        if self.described().snapshots.all.values().any(|record| record.is_removing) {
            self.events.release_due.notify_one();
        }
        Ok(())
    }

    /// The same behind a change that may have left a doubt: where it stays, it is looked into later.
    pub(crate) async fn settle_behind(&self) -> Result<()> {
        self.settle().await.inspect_err(|_| self.events.header_in_doubt.notify_one())
    }

    pub(crate) async fn published(&self) {
        self.events.publish(UpdateEvent::Header);
        watch::notify(&self.objects, Notice::HeaderChanged).await;
    }

    /// A shrink changes the header first and then empties what lies beyond; a growth empties first. So whatever happens in between, old
    /// data never comes back into the image. By the owner, with the maintenance lock held, as all that follow.
    pub(crate) async fn resize_owned(
        self: &Arc<Self>,
        size: u64,
        allow_shrink: bool,
        progress: Progress<'_>,
    ) -> Result<()> {
        let old = self.shared.lock().view.size;
        if size < old && !allow_shrink {
            return Err(invalid("the image would shrink"));
        }
        if size < old {
            // Writes beyond the new end are refused from here on.
            self.shared.lock().view.size = size;
            if let Err(error) = self.commit_size(size).await {
                // Where the header may be smaller by now, nothing is written beyond its end: it would be lost.
                if !self.in_doubt.load(Ordering::Acquire) {
                    self.shared.lock().view.size = old;
                }
                return Err(error);
            }
            self.empty_beyond(size, size).await?;
            // librbd's progress of a shrink is in objects, each as it goes; a growth has none.
            let objects = |bytes: u64| bytes.div_ceil(1 << self.image.order);
            for object in objects(size)..objects(old) {
                progress(object, objects(old))?;
            }
        } else if size > old {
            self.empty_beyond(old, size).await?;
            self.commit_size(size).await?;
            self.shared.lock().view.size = size;
        }
        Ok(())
    }

    async fn commit_size(&self, size: u64) -> Result<()> {
        self.commit_state(|state| state.size = size).await
    }

    /// What a shrink cuts off shows nothing of a parent's or a base's any more, whatever the size becomes later.
    async fn commit_state(&self, change: impl FnOnce(&mut StateRecord)) -> Result<()> {
        let described = self.described().clone();
        let mut state = StateRecord { modify_ns: self.clock.now_ns(), ..described.state };
        change(&mut state);
        let beyond = |ancestry: &AncestryRecord| ancestry.overlap.is_some_and(|overlap| overlap > state.size);
        let cut = described.ancestry.filter(beyond);
        let cut = cut.map(|ancestry| AncestryRecord { overlap: Some(state.size), ..ancestry });
        let base = described.base.filter(|base| base.overlap > state.size);
        let base = base.map(|base| BaseRecord { overlap: state.size, ..base });
        let set = |update: KvUpdate| {
            let mut update = update.set(key::STATE, state.encode());
            if let Some(ancestry) = &cut {
                update = update.set(key::ANCESTRY, ancestry.encode());
            }
            match &base {
                Some(base) => update.set(key::BASE, base.encode()),
                None => update,
            }
        };
        self.update_header(set).await?;
        if let Some(base) = &base {
            self.shared.lock().view.map.keep_zeroed_below(base.overlap);
        }
        let mut described = self.described();
        described.state = state;
        if cut.is_some() {
            described.ancestry = cut;
        }
        if base.is_some() {
            described.base = base;
        }
        Ok(())
    }

    /// Logs that everything from `from` on is gone, durably. What is there is emptied in steps of bounded memory, each a discard, before
    /// the record that says so of all of it: whatever is left after a crash lies beyond the size in the header, and nothing is
    /// written there until that changes.
    async fn empty_beyond(self: &Arc<Self>, from: u64, size: u64) -> Result<()> {
        let mut at = from;
        loop {
            self.shared.wait_for_leaves().await?;
            let len = self.shared.lock().clear_len(at, MAX_IMAGE_BYTES - at);
            let is_last = at + len == MAX_IMAGE_BYTES;
            let record = match is_last {
                true => Record { offset: from, kind: RecordKind::Resize { size } },
                false => Record { offset: at, kind: RecordKind::Discard { len } },
            };
            let empty = |state: &mut Locked<'_>| state.attempt(|state| state.try_empty(record, (at, len)));
            let seq = self.change(empty).await?;
            if is_last {
                return self.shared.wait_durable(seq).await;
            }
            at += len;
        }
    }

    /// `None` removes the key.
    pub(crate) async fn set_metadata_owned(&self, name: &str, value: Option<&str>) -> Result<()> {
        let key = format!("{}{name}", key::META);
        match value {
            Some(value) => {
                self.update_header(|update| update.set(key, encode_text(value))).await?;
                self.described().metadata.insert(name.to_owned(), value.to_owned());
            }
            None => {
                self.update_header(|update| update.remove(key)).await?;
                self.described().metadata.remove(name);
            }
        }
        self.take_up_options();
        Ok(())
    }

    /// Feature bits.
    pub(crate) async fn set_features_owned(&self, features: u64) -> Result<()> {
        self.commit_state(|state| state.features = features).await?;
        self.shared.lock().view.features = features;
        if features & Features::EXCLUSIVE_LOCK == 0 && self.by_hand.swap(false, Ordering::AcqRel) {
            // Nobody could give it back: there is no lock to be managed any more.
            self.events.mailbox.announce(Claim::Owner);
        }
        Ok(())
    }
}

/// Finds out what became of an update in doubt as soon as the store says so, though nobody changes the header again.
pub(crate) async fn settle_doubts(session: Weak<Session>, events: Arc<HeaderEvents>) {
    loop {
        events.header_in_doubt.notified().await;
        loop {
            tokio::time::sleep(RETRY_MOST).await;
            let Some(session) = session.upgrade() else { return };
            let _role = session.maintenance.lock().await;
            if session.settle().await.is_ok() {
                break;
            }
        }
        events.publish(UpdateEvent::Header);
    }
}
