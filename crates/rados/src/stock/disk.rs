//! A stock image that gets back what was written to the image of lsd that took its place.
//!
//! Owns: that nobody else writes to it meanwhile. Does not own: what is written (the engine).
use super::base::{StockBases, blocking};
use super::image::StockImage;
use super::records::header;
use crate::error::{RadosError, RadosResult};
use crate::ioctx::IoCtx;
use bytes::Bytes;
use lsd_store::{ForeignDisk, StoreError, StoreFuture};
use nix::libc;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::runtime::Handle;

/// One call zeroes at most so many bytes.
const ZERO_BYTES: u64 = 1 << 30;

#[derive(Debug)]
pub(super) struct StockDisk {
    /// `None`: closed.
    image: Mutex<Option<Arc<StockImage>>>,
    runtime: Handle,
}

impl StockDisk {
    /// Of an image that nobody else has open to write to it: see [`open_alone`].
    pub fn new(image: StockImage, runtime: Handle) -> Self {
        Self { image: Mutex::new(Some(Arc::new(image))), runtime }
    }

    fn image(&self) -> RadosResult<Arc<StockImage>> {
        let image = self.image.lock().unwrap_or_else(PoisonError::into_inner).clone();
        image.ok_or_else(|| RadosError::new(libc::EBADF, "closed image", ""))
    }

    fn take(&self) -> Option<Arc<StockImage>> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&StockImage) -> RadosResult<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let (image, runtime) = (self.image(), self.runtime.clone());
        Box::pin(async move {
            let image = image?;
            blocking(&runtime, move || Ok::<T, StoreError>(work(&image)?)).await
        })
    }
}

/// Blocks. An image that nobody else can write to as long as this one is open. EBUSY: somebody else has it open to write to it.
pub(super) fn open_alone(bases: &StockBases, io: &IoCtx, id: &str) -> RadosResult<StockImage> {
    // Before the lock is asked for, which a guest would give away.
    check_watchers(io, id, 0)?;
    let image = StockImage::open_to_write(bases.stock_library()?, io.clone(), id)?;
    image.lock().map_err(|error| match error.errno {
        libc::EROFS | libc::EAGAIN | libc::EBUSY => RadosError::new(libc::EBUSY, "lock", format!("{id}: in use")),
        libc::EINVAL => RadosError::new(libc::EINVAL, "lock", format!("{id}: it lacks the feature exclusive-lock")),
        _ => error,
    })?;
    // Who came in between has written nothing since the lock is here, but may have before.
    check_watchers(io, id, 1)?;
    Ok(image)
}

/// EBUSY: more than `own` have it open to write to it.
pub(super) fn check_watchers(io: &IoCtx, id: &str, own: usize) -> RadosResult<()> {
    let watchers = io.list_watchers(&header(id))?;
    match watchers.get(own) {
        None => Ok(()),
        Some(it) => {
            let who = format!("{id}: in use by client.{} at {}", it.client, it.addr);
            Err(RadosError::new(libc::EBUSY, "migrate", who))
        }
    }
}

fn length(len: u64) -> RadosResult<usize> {
    usize::try_from(len).map_err(|_| RadosError::new(libc::EINVAL, "length", ""))
}

impl ForeignDisk for StockDisk {
    fn size(&self) -> StoreFuture<u64> {
        self.call(StockImage::size)
    }

    fn resize(&self, size: u64) -> StoreFuture<()> {
        self.call(move |image| image.resize(size))
    }

    fn data(&self, offset: u64, len: u64) -> StoreFuture<Vec<Range<u64>>> {
        self.call(move |image| image.data(offset, len))
    }

    fn read(&self, offset: u64, len: u64) -> StoreFuture<Bytes> {
        self.call(move |image| Ok(Bytes::from(image.read(offset, length(len)?)?)))
    }

    fn write(&self, offset: u64, data: Bytes) -> StoreFuture<()> {
        self.call(move |image| image.write(offset, &data))
    }

    fn zero(&self, offset: u64, len: u64) -> StoreFuture<()> {
        self.call(move |image| {
            let end = offset + len;
            let mut at = offset;
            while at < end {
                let part = (end - at).min(ZERO_BYTES);
                image.zero(at, length(part)?)?;
                at += part;
            }
            Ok(())
        })
    }

    fn set_metadata(&self, key: &str, value: Option<&str>) -> StoreFuture<()> {
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        self.call(move |image| match value {
            Some(value) => image.set_metadata(&key, &value),
            None => image.remove_metadata(&key),
        })
    }

    fn flush(&self) -> StoreFuture<()> {
        self.call(StockImage::flush)
    }

    fn close(&self) -> StoreFuture<()> {
        let (image, runtime) = (self.take(), self.runtime.clone());
        Box::pin(async move {
            blocking(&runtime, move || {
                drop(image);
                Ok::<(), StoreError>(())
            })
            .await
        })
    }
}

impl Drop for StockDisk {
    /// Closing waits for the cluster, which no thread that runs tasks may do.
    fn drop(&mut self) {
        if let Some(image) = self.take() {
            self.runtime.spawn_blocking(move || drop(image));
        }
    }
}
