//! Carrying out one checked request on a device.
use crate::device::{Device, DeviceError, Extent};
use crate::proto::{Command, Cookie, Descriptor, Piece, Reply, wire};
use bytes::Bytes;
use nix::libc;

/// CACHE reads this much at a time, bytes.
pub(super) const CACHE_STEP_BYTES: u32 = 4 << 20;
/// Block status asks the device for this much at a time, bytes: bounds what one answer of the device can hold.
const STATUS_STEP_BYTES: u32 = 1 << 30;

/// Runs a command; `payload` is a write's data. The command was checked, so its range lies inside the device unless
/// the device shrank meanwhile, which the device itself refuses.
pub(super) async fn execute(
    device: &dyn Device,
    cookie: Cookie,
    command: Command,
    payload: Bytes,
    structured: bool,
) -> Result<Reply, DeviceError> {
    match command {
        Command::Read { offset, len, dont_fragment } => {
            let pieces = if len == 0 { Vec::new() } else { read_exactly(device, offset, len).await? };
            return Ok(if structured {
                Reply::structured_read(cookie, offset, pieces, dont_fragment)
            } else {
                Reply::simple_read(cookie, pieces)
            });
        }
        Command::BlockStatus { offset, len, one } => {
            let descriptors = block_status(device, offset, len, one).await?;
            return Ok(Reply::block_status(cookie, &descriptors));
        }
        Command::Write { len: 0, .. } | Command::Trim { len: 0, .. } | Command::WriteZeroes { len: 0, .. } => {}
        Command::Write { offset, fua, .. } => device.write(offset, payload, fua).await?,
        Command::Trim { offset, len, fua } => device.trim(offset, len, fua).await?,
        Command::WriteZeroes { offset, len, no_hole, fua } => device.write_zeroes(offset, len, no_hole, fua).await?,
        // A read-only device has nothing to flush.
        Command::Flush if device.read_only() => {}
        Command::Flush => device.flush().await?,
        Command::Cache { offset, len } => cache(device, offset, len).await?,
        Command::Disconnect => {}
    }
    Ok(Reply::done(cookie))
}

/// A reply of the wrong length would put every later byte of the connection in the wrong place.
async fn read_exactly(device: &dyn Device, offset: u64, len: u32) -> Result<Vec<Piece>, DeviceError> {
    let pieces = device.read(offset, len).await?;
    let got: u64 = pieces.iter().map(Piece::len).sum();
    if got != u64::from(len) {
        return Err(DeviceError::new(libc::EIO, format!("read {got} bytes of {len}")));
    }
    Ok(pieces)
}

async fn cache(device: &dyn Device, offset: u64, len: u32) -> Result<(), DeviceError> {
    let mut done = 0;
    while done < len {
        let now = (len - done).min(CACHE_STEP_BYTES);
        device.read(offset + u64::from(done), now).await?;
        done += now;
    }
    Ok(())
}

/// At least one descriptor; neighbours differ in status.
async fn block_status(device: &dyn Device, offset: u64, len: u32, one: bool) -> Result<Vec<Descriptor>, DeviceError> {
    let mut found: Vec<Descriptor> = Vec::new();
    let mut done: u32 = 0;
    while done < len {
        let now = (len - done).min(STATUS_STEP_BYTES);
        let extents = device.extents(offset + u64::from(done), now).await?;
        done += now;
        if !append(&mut found, &extents, now, one)? {
            break;
        }
    }
    Ok(found)
}

/// Adds the extents of `len` bytes; false when the reply has all it may hold.
fn append(found: &mut Vec<Descriptor>, extents: &[Extent], len: u32, one: bool) -> Result<bool, DeviceError> {
    let mut rest = u64::from(len);
    for extent in extents {
        let now = extent.len.min(rest);
        rest -= now;
        if now == 0 {
            continue;
        }
        let full = if one { !found.is_empty() } else { found.len() == wire::MAX_DESCRIPTORS };
        match found.last_mut() {
            // Cannot overflow: the sum is at most the request's length.
            Some(last) if last.data == extent.data => last.len += now as u32,
            Some(_) if full => return Ok(false),
            _ => found.push(Descriptor { len: now as u32, data: extent.data }),
        }
    }
    if rest > 0 {
        return Err(DeviceError::new(libc::EIO, format!("extents leave out {rest} bytes of {len}")));
    }
    Ok(true)
}
