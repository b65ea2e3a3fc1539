//! Changes of an open image other than its data: size, metadata, timestamps. All of them by the owner, guarded by its epoch.
use crate::error::invalid;
use crate::inner::Inner;
use crate::limits::MAX_METADATA_BYTES;
use crate::takeover::guarded;
use crate::{Error, ErrorKind, Progress, Result, UpdateEvent, watch};
use lsd_core::format::header::{StateRecord, encode_text, key};
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::units::{Epoch, MAX_IMAGE_BYTES};
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

    async fn published(&self) {
        self.news.publish(UpdateEvent::Header);
        watch::announce(&self.objects).await;
    }

    /// A shrink changes the header first and then empties what lies beyond; a growth empties first. So whatever happens in between, old
    /// data never comes back into the image.
    pub(crate) async fn resize(self: &Arc<Self>, size: u64, allow_shrink: bool, progress: Progress<'_>) -> Result<()> {
        self.check_open()?;
        if size > MAX_IMAGE_BYTES {
            return Err(invalid(format!("{size} bytes are more than the largest image ({MAX_IMAGE_BYTES})")));
        }
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the image is open read-only"));
        }
        let mut role = self.maintenance.lock().await;
        self.own(&mut role).await?;
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
        drop(role);
        progress(1, 1)?;
        self.published().await;
        Ok(())
    }

    async fn commit_size(&self, size: u64) -> Result<()> {
        let state = StateRecord { size, modify_ns: self.clock.now_ns(), ..self.described().state };
        self.update_header(|update| update.set(key::STATE, state.encode())).await?;
        self.described().state = state;
        Ok(())
    }

    /// Logs that everything from `from` on is gone, durably.
    async fn empty_beyond(&self, from: u64, size: u64) -> Result<()> {
        let record = Record { offset: from, kind: RecordKind::Resize { size } };
        let seq = self.change(|state| state.try_clear(record)).await?;
        self.shared.wait_durable(seq).await
    }

    pub(crate) async fn metadata_set(self: &Arc<Self>, name: &str, value: &str) -> Result<()> {
        if name.is_empty() || name.len() > MAX_METADATA_BYTES || value.len() > MAX_METADATA_BYTES {
            return Err(invalid("metadata keys and values have 1 byte to 1 MiB"));
        }
        let key = format!("{}{name}", key::META);
        self.change_metadata(|update| update.set(key, encode_text(value))).await?;
        self.described().metadata.insert(name.to_owned(), value.to_owned());
        self.published().await;
        Ok(())
    }

    pub(crate) async fn metadata_remove(self: &Arc<Self>, name: &str) -> Result<()> {
        if !self.described().metadata.contains_key(name) {
            return Err(Error::new(ErrorKind::NotFound, format!("no metadata {name:?}")));
        }
        let key = format!("{}{name}", key::META);
        self.change_metadata(|update| update.remove(key)).await?;
        self.described().metadata.remove(name);
        self.published().await;
        Ok(())
    }

    async fn change_metadata(self: &Arc<Self>, change: impl FnOnce(KvUpdate) -> KvUpdate) -> Result<()> {
        self.check_open()?;
        if self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "the image is open read-only"));
        }
        let mut role = self.maintenance.lock().await;
        self.own(&mut role).await?;
        self.update_header(change).await
    }
}
