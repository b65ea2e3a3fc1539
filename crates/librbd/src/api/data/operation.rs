//! The data operations, once for the synchronous and the asynchronous entries.
//!
//! Every operation is a future that is polled for the first time inside the caller's call: what it does before its
//! first await (clipping, copying out of the caller's memory, the engine's ordering of writes) happens there.
//! Each gives the number of bytes it worked on after clipping, as librbd's synchronous calls do.
use crate::api::data::discard::DiscardRule;
use crate::ffi::caller::CallerMemory;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::image::OpenImage;
use crate::handles::slab::Ref;
use bytes::Bytes;
use lsd_engine::ErrorKind;
use std::ffi::c_int;

/// `LIBRADOS_OP_FLAG_FADVISE_FUA`: durable when it returns. The other flags are advice that has no meaning here.
const OP_FLAG_FUA: c_int = 0x80;
/// `RBD_WRITE_ZEROES_FLAG_THICK_PROVISION`.
const ZERO_FLAG_THICK: c_int = 1;

/// Flags of one operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpFlags {
    pub fua: bool,
}

impl From<c_int> for OpFlags {
    fn from(flags: c_int) -> Self {
        Self { fua: flags & OP_FLAG_FUA != 0 }
    }
}

/// librbd's rule: nothing is always valid, a start at or after the end is EINVAL, and what crosses the end is cut.
pub fn clip(size: u64, offset: u64, len: u64) -> Outcome<u64> {
    match offset {
        _ if len == 0 => Ok(0),
        offset if offset >= size => Err(Errno::EINVAL),
        _ => Ok(len.min(size - offset)),
    }
}

fn clip_for_write(image: &OpenImage, offset: u64, len: u64) -> Outcome<u64> {
    let len = clip(image.view.image()?.size(), offset, len)?;
    image.view.writable()?;
    Ok(len)
}

pub async fn read(image: Ref<OpenImage>, offset: u64, target: CallerMemory) -> Outcome<u64> {
    let shown = image.view.image()?;
    let len = clip(shown.size(), offset, target.len())?;
    if len > 0 {
        shown.read_into(offset, len, &mut target.target()).await?;
    }
    Ok(len)
}

pub async fn write(image: Ref<OpenImage>, offset: u64, source: CallerMemory, flags: OpFlags) -> Outcome<u64> {
    let len = clip_for_write(&image, offset, source.len())?;
    if len > 0 {
        image.view.head().write(offset, source.write_data(len), flags.fua).await?;
    }
    Ok(len)
}

/// What of a discard is carried out, by the settings of the moment.
fn discard_rule(image: &OpenImage) -> DiscardRule {
    let settings = image.view.head().settings();
    DiscardRule::new(settings.skip_partial_discard, settings.discard_granularity_bytes, image.layout)
}

pub async fn discard(image: Ref<OpenImage>, offset: u64, len: u64) -> Outcome<u64> {
    let len = clip_for_write(&image, offset, len)?;
    let ranges = discard_rule(&image).ranges(offset, len);
    if ranges.is_empty() && len > 0 {
        // Also a discard of which nothing is left takes the image, as in librbd.
        image.view.head().discard(offset, 0, false).await?;
    }
    for (offset, len) in ranges {
        image.view.head().discard(offset, len, false).await?;
    }
    Ok(len)
}

pub async fn write_zeroes(
    image: Ref<OpenImage>,
    offset: u64,
    len: u64,
    zero_flags: c_int,
    flags: OpFlags,
) -> Outcome<u64> {
    if zero_flags & !ZERO_FLAG_THICK != 0 {
        return Err(Errno::EINVAL);
    }
    let len = clip_for_write(&image, offset, len)?;
    if len > 0 {
        image.view.head().write_zeroes(offset, len, zero_flags & ZERO_FLAG_THICK != 0, flags.fua).await?;
    }
    Ok(len)
}

/// `pattern` is not empty and `len` a multiple of its length: the entries check that.
pub async fn write_same(
    image: Ref<OpenImage>,
    offset: u64,
    len: u64,
    pattern: CallerMemory,
    flags: OpFlags,
) -> Outcome<u64> {
    let len = clip_for_write(&image, offset, len)?;
    if len == 0 {
        return Ok(0);
    }
    let pattern = pattern.copy_out(pattern.len());
    if pattern.iter().all(|byte| *byte == 0) {
        // librbd's `rbd_discard_on_zeroed_write_same`.
        image.view.head().write_zeroes(offset, len, false, flags.fua).await?;
        return Ok(len);
    }
    // Only a range cut at the end of the image leaves a rest.
    let rest = len % pattern.len() as u64;
    if len > rest {
        image.view.head().write_same(offset, len - rest, pattern.clone()).await?;
    }
    if rest > 0 {
        image.view.head().write(offset + len - rest, pattern.slice(..rest as usize), false).await?;
    }
    if flags.fua {
        image.view.head().flush().await?;
    }
    Ok(len)
}

/// What compare-and-write found to differ: bytes from the start of the range.
pub type Mismatch = Box<dyn FnOnce(u64) + Send>;

pub async fn compare_and_write(
    image: Ref<OpenImage>,
    offset: u64,
    compare: CallerMemory,
    data: CallerMemory,
    mismatch: Mismatch,
    flags: OpFlags,
) -> Outcome<u64> {
    let len = clip_for_write(&image, offset, compare.len())?;
    if len == 0 {
        return Ok(0);
    }
    let unit = image.layout.stripe_unit;
    if offset % unit + len > unit {
        // librbd compares within one stripe unit of one object only.
        return Err(Errno::EINVAL);
    }
    let (compare, data): (Bytes, Bytes) = (compare.copy_out(len), data.copy_out(len));
    match image.view.head().compare_and_write(offset, compare, data).await {
        Ok(()) => {}
        Err(error) => {
            if let ErrorKind::Mismatch { offset } = error.kind {
                mismatch(offset);
            }
            return Err(error.into());
        }
    }
    if flags.fua {
        image.view.head().flush().await?;
    }
    Ok(len)
}

pub async fn flush(image: Ref<OpenImage>) -> Outcome<u64> {
    image.view.head().flush().await?;
    Ok(0)
}
