//! An open image as a device.
use crate::device::{BoxFuture, Device, DeviceError, Extent};
use crate::proto::Piece;
use bytes::Bytes;
use lsd_engine::{Image, ReadPiece};

/// Serves an image. Dropping it does not close the image.
pub struct ImageDevice {
    image: Image,
    durable_writes: bool,
}

impl ImageDevice {
    pub fn new(image: Image) -> Self {
        Self { image, durable_writes: false }
    }

    /// Every write is durable when it returns, as if it had FUA: for a client that outlives this process and takes what was
    /// acknowledged for written, whoever serves it next. A discard is not waited for: whatever comes after it and is durable
    /// makes it so too.
    #[must_use]
    pub fn with_durable_writes(mut self) -> Self {
        self.durable_writes = true;
        self
    }
}

impl From<lsd_engine::Error> for DeviceError {
    fn from(error: lsd_engine::Error) -> Self {
        Self::new(error.errno(), error.to_string())
    }
}

impl Device for ImageDevice {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_only(&self) -> bool {
        self.image.read_only()
    }

    fn read(&self, offset: u64, len: u32) -> BoxFuture<'_, Result<Vec<Piece>, DeviceError>> {
        Box::pin(async move {
            let data = self.image.read(offset, len.into()).await?;
            let piece = |piece| match piece {
                ReadPiece::Data(bytes) => Piece::Data(bytes),
                ReadPiece::Zero(len) => Piece::Zero(len),
            };
            Ok(data.pieces.into_iter().map(piece).collect())
        })
    }

    fn write(&self, offset: u64, data: Bytes, fua: bool) -> BoxFuture<'_, Result<(), DeviceError>> {
        Box::pin(async move { Ok(self.image.write(offset, data, fua || self.durable_writes).await?) })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), DeviceError>> {
        Box::pin(async move { Ok(self.image.flush().await?) })
    }

    fn trim(&self, offset: u64, len: u32, fua: bool) -> BoxFuture<'_, Result<(), DeviceError>> {
        Box::pin(async move { Ok(self.image.discard(offset, len.into(), fua).await?) })
    }

    fn write_zeroes(&self, offset: u64, len: u32, no_hole: bool, fua: bool) -> BoxFuture<'_, Result<(), DeviceError>> {
        Box::pin(async move {
            let fua = fua || self.durable_writes;
            Ok(self.image.write_zeroes(offset, len.into(), no_hole, fua).await?)
        })
    }

    fn extents(&self, offset: u64, len: u32) -> BoxFuture<'_, Result<Vec<Extent>, DeviceError>> {
        Box::pin(async move {
            let extents = self.image.extents(offset, len.into()).await?;
            Ok(extents.into_iter().map(|extent| Extent { len: extent.len, data: extent.data }).collect())
        })
    }
}
