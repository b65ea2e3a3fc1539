//! An image as a device whose work is followed.
//!
//! Owns: how far the work is, that zeroes are not written, and who is told of an error. Does not own: what an error ends.
use crate::commands::transfer::write_sparse;
use bytes::Bytes;
use lsd_engine::Image;
use lsd_nbd::{BoxFuture, Device, DeviceError, Extent, ImageDevice, Piece};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

type Result<T> = std::result::Result<T, DeviceError>;

/// The image, and how far it was read or written.
pub struct Followed {
    image: Image,
    device: ImageDevice,
    granule: usize,
    reached: AtomicU64,
    failed: mpsc::UnboundedSender<DeviceError>,
}

impl Followed {
    pub fn new(image: &Image, granule: usize, failed: mpsc::UnboundedSender<DeviceError>) -> Self {
        let device = ImageDevice::new(image.clone());
        Self { image: image.clone(), device, granule, reached: AtomicU64::new(0), failed }
    }

    /// Up to where something was read or written, bytes.
    pub fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }

    /// What failed ends everything. So it is not answered: the program would say in other words what is known already.
    async fn judged<T>(&self, end: u64, result: Result<T>) -> Result<T> {
        match result {
            Ok(value) => {
                self.reached.fetch_max(end, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => {
                // Whoever would receive it has given up already.
                let _ = self.failed.send(error);
                std::future::pending().await
            }
        }
    }
}

impl Device for Followed {
    fn size(&self) -> u64 {
        self.device.size()
    }

    fn read_only(&self) -> bool {
        self.device.read_only()
    }

    fn read(&self, offset: u64, len: u32) -> BoxFuture<'_, Result<Vec<Piece>>> {
        Box::pin(async move { self.judged(offset + u64::from(len), self.device.read(offset, len).await).await })
    }

    fn write(&self, offset: u64, data: Bytes, fua: bool) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let end = offset + data.len() as u64;
            let mut written = write_sparse(&self.image, offset, data, self.granule).await;
            if fua && written.is_ok() {
                written = self.image.flush().await;
            }
            self.judged(end, written.map_err(DeviceError::from)).await
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.judged(0, self.device.flush().await).await })
    }

    fn trim(&self, offset: u64, len: u32, fua: bool) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.judged(offset + u64::from(len), self.device.trim(offset, len, fua).await).await })
    }

    fn write_zeroes(&self, offset: u64, len: u32, no_hole: bool, fua: bool) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let written = self.device.write_zeroes(offset, len, no_hole, fua).await;
            self.judged(offset + u64::from(len), written).await
        })
    }

    fn extents(&self, offset: u64, len: u32) -> BoxFuture<'_, Result<Vec<Extent>>> {
        Box::pin(async move { self.judged(0, self.device.extents(offset, len).await).await })
    }
}
