//! Changes of an open image other than its data, as its owner makes them: size, metadata, features. Each is one update of the
//! header, guarded by the owner's epoch. Who carries one out, and for whom, is in `requests.rs`.
use crate::error::invalid;
use crate::inner::Inner;
use crate::takeover::guarded;
use crate::{Error, ErrorKind, Progress, Result, UpdateEvent, watch};
use lsd_core::format::header::{StateRecord, encode_text, key};
use lsd_core::format::notice::Notice;
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::units::Epoch;
use lsd_store::KvUpdate;
use std::sync::Arc;

impl Inner {
    fn epoch(&self) -> Result<Epoch> {
        let state = self.shared.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let writer = state.writer.as_ref();
        writer.map(|writer| writer.epoch()).ok_or_else(|| Error::new(ErrorKind::Closed, "the image is closed"))
    }

    /// Applies one guarded change of the header and tells everybody.
    async fn update_header(&self, change: impl FnOnce(KvUpdate) -> KvUpdate) -> Result<()> {
        let update = change(guarded(self.epoch()?));
        self.objects.meta.kv_update(&self.objects.header(), update).await?;
        Ok(())
    }

    pub(crate) async fn published(&self) {
        self.news.publish(UpdateEvent::Header);
        watch::announce(&self.objects, Notice::HeaderChanged).await;
    }

    /// A shrink changes the header first and then empties what lies beyond; a growth empties first. So whatever happens in between, old
    /// data never comes back into the image. By the owner, with the maintenance lock held, as all that follow.
    pub(crate) async fn resize_owned(
        self: &Arc<Self>,
        size: u64,
        allow_shrink: bool,
        progress: Progress<'_>,
    ) -> Result<()> {
        let old = self.shared.lock().size;
        if size < old && !allow_shrink {
            return Err(invalid("the image would shrink"));
        }
        progress(0, 1)?;
        if size < old {
            // Writes beyond the new end are refused from here on.
            self.shared.lock().size = size;
            if let Err(error) = self.commit_size(size).await {
                self.shared.lock().size = old;
                return Err(error);
            }
            self.empty_beyond(size, size).await?;
        } else if size > old {
            self.empty_beyond(old, size).await?;
            self.commit_size(size).await?;
            self.shared.lock().size = size;
        }
        progress(1, 1)
    }

    async fn commit_size(&self, size: u64) -> Result<()> {
        let state = StateRecord { size, modify_ns: self.clock.now_ns(), ..self.described().state };
        self.update_header(|update| update.set(key::STATE, state.encode())).await?;
        self.described().state = state;
        Ok(())
    }

    /// Logs that everything from `from` on is gone, durably.
    async fn empty_beyond(self: &Arc<Self>, from: u64, size: u64) -> Result<()> {
        let record = Record { offset: from, kind: RecordKind::Resize { size } };
        let seq = self.change(|state| state.try_clear(record)).await?;
        self.shared.wait_durable(seq).await
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
        Ok(())
    }

    /// Feature bits.
    pub(crate) async fn set_features_owned(&self, features: u64) -> Result<()> {
        let state = StateRecord { features, modify_ns: self.clock.now_ns(), ..self.described().state };
        self.update_header(|update| update.set(key::STATE, state.encode())).await?;
        self.described().state = state;
        Ok(())
    }
}
