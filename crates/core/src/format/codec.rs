//! Little-endian reading and writing, CRC-32C, and the envelope that small structures share.
use super::{FormatError, FormatResult, Refusal};
use std::ops::RangeInclusive;

/// CRC-32C (Castagnoli) of `data`.
pub fn crc32c(data: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, data) as u32
}

/// CRC-32C of `data` as if the four bytes at `hole` were zero: how a checksum inside its own structure is made.
/// `hole + 4` must lie inside `data`.
pub fn crc32c_with_hole(data: &[u8], hole: usize) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&data[..hole]);
    digest.update(&[0; 4]);
    digest.update(&data[hole + 4..]);
    digest.finalize() as u32
}

/// Appends fixed-width little-endian fields to a buffer.
pub trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_u16(&mut self, value: u16);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    /// Length as u32, then the bytes.
    fn put_text(&mut self, value: &str);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }
    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn put_text(&mut self, value: &str) {
        self.put_u32(value.len() as u32);
        self.extend_from_slice(value.as_bytes());
    }
}

/// Reads fixed-width little-endian fields; running out of bytes is `Truncated`.
pub struct Take<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Take<'a> {
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub fn bytes(&mut self, len: usize) -> FormatResult<&'a [u8]> {
        if self.rest.len() < len {
            return Err(FormatError::new(self.what, Refusal::Truncated));
        }
        let (now, later) = self.rest.split_at(len);
        self.rest = later;
        Ok(now)
    }

    pub fn array<const N: usize>(&mut self) -> FormatResult<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> FormatResult<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> FormatResult<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> FormatResult<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> FormatResult<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn text(&mut self) -> FormatResult<String> {
        let len = self.u32()? as usize;
        let bytes = self.bytes(len)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| FormatError::new(self.what, Refusal::Value("text")))
    }

    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Everything was read: trailing bytes are refused.
    pub fn end(self) -> FormatResult<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(FormatError::new(self.what, Refusal::Value("length"))) }
    }
}

/// Bytes of an envelope before its payload.
pub const ENVELOPE_BYTES: usize = 16;

/// Wraps a payload: magic u32, version u16, kind u16, payload length u32, CRC-32C u32 over everything with the
/// checksum field as zero.
pub fn seal_envelope(magic: u32, version: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(ENVELOPE_BYTES + payload.len());
    out.put_u32(magic);
    out.put_u16(version);
    out.put_u16(kind);
    out.put_u32(payload.len() as u32);
    out.put_u32(0);
    out.extend_from_slice(payload);
    let crc = crc32c(&out);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Checks an envelope of exactly these bytes and returns its payload. `versions`: those that the reader understands; one that does not
/// is told of only if the checksum is right, so that it is no damage.
pub fn open_envelope<'a>(
    what: &'static str,
    magic: u32,
    versions: RangeInclusive<u16>,
    kind: u16,
    bytes: &'a [u8],
) -> FormatResult<&'a [u8]> {
    let mut take = Take::new(what, bytes);
    if take.u32()? != magic {
        return Err(FormatError::new(what, Refusal::Magic));
    }
    let version = take.u16()?;
    let found_kind = take.u16()?;
    let len = take.u32()? as usize;
    let crc = take.u32()?;
    let payload = take.bytes(len)?;
    take.end()?;
    if crc32c_with_hole(bytes, 12) != crc {
        return Err(FormatError::new(what, Refusal::Checksum));
    }
    if !versions.contains(&version) {
        return Err(FormatError::new(what, Refusal::Version(version)));
    }
    if found_kind != kind {
        return Err(FormatError::new(what, Refusal::Foreign("kind")));
    }
    Ok(payload)
}
