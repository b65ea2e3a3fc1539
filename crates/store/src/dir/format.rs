//! The bytes of the directory store's files: docs/FORMAT-dir-store.md is their normative description.
//!
//! Owns: prelude, tail slots and the payload of keyed objects. Does not own: files, or the bytes of log and whole
//! objects.
use super::fault::{Fault, Outcome};
use crate::{KvMap, StoreErrorKind};
use bytes::{Buf, Bytes};

/// First bytes of every file of a store.
const MAGIC: [u8; 8] = *b"LSDDIROB";
/// The one version there is; a file of a later one is refused (`Unsupported`).
const VERSION: u32 = 1;
/// Size of the prelude, bytes.
pub(super) const PRELUDE_LEN: usize = 64;
/// Where the data of log and whole objects begins: one page, so that the data's pages are the file's.
pub(super) const DATA_OFFSET: u64 = 4096;
/// Places of the two tail slots of a log object, each in a sector of its own.
const SLOT_OFFSETS: [usize; 2] = [512, 1024];
const SLOT_LEN: usize = 64;
/// Bytes at the beginning of a log object that hold the prelude and both slots.
pub(super) const LOG_HEAD_LEN: usize = 1088;
/// Largest payload of a keyed object, bytes: a longer length in a prelude is taken for damage and refused.
const KEYED_MAX_BYTES: u64 = 1 << 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Log,
    Whole,
    Keyed,
    /// The file that makes a directory a store.
    Store,
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Self::Log => 1,
            Self::Whole => 2,
            Self::Keyed => 3,
            Self::Store => 4,
        }
    }
}

/// What the first 64 bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prelude {
    pub kind: Kind,
    pub data_offset: u64,
    /// Payload bytes of a whole or keyed object; 0 for a log object.
    pub data_len: u64,
    /// CRC-32C of the payload of a keyed object; else 0.
    pub data_crc: u32,
}

impl Prelude {
    pub fn encode(&self) -> [u8; PRELUDE_LEN] {
        let mut out = [0; PRELUDE_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.kind.number().to_le_bytes());
        out[16..24].copy_from_slice(&self.data_offset.to_le_bytes());
        out[24..32].copy_from_slice(&self.data_len.to_le_bytes());
        out[32..36].copy_from_slice(&self.data_crc.to_le_bytes());
        seal(&mut out);
        out
    }

    pub fn decode(bytes: &[u8]) -> Outcome<Self> {
        let head = bytes.get(..PRELUDE_LEN).ok_or_else(|| {
            Fault::corrupt(format!("the file has {} bytes, shorter than any object of a directory store", bytes.len()))
        })?;
        if head[..8] != MAGIC {
            return Err(Fault::corrupt("the file is not an object of a directory store"));
        }
        let mut rest = &head[8..];
        let version = rest.get_u32_le();
        if version > VERSION {
            let detail = format!("version {version} of the directory store's format is newer than this program");
            return Err(Fault::new(StoreErrorKind::Unsupported, detail));
        }
        if version != VERSION || !sealed(head) {
            return Err(Fault::corrupt("the first bytes of the object are damaged"));
        }
        let kind = match rest.get_u32_le() {
            1 => Kind::Log,
            2 => Kind::Whole,
            3 => Kind::Keyed,
            4 => Kind::Store,
            other => return Err(Fault::corrupt(format!("unknown kind of object {other}"))),
        };
        let (data_offset, data_len, data_crc) = (rest.get_u64_le(), rest.get_u64_le(), rest.get_u32_le());
        if data_offset != offset_of(kind) || (kind == Kind::Keyed && data_len > KEYED_MAX_BYTES) {
            return Err(Fault::corrupt("the object's lengths make no sense"));
        }
        Ok(Self { kind, data_offset, data_len, data_crc })
    }
}

/// Where the payload of an object of this kind begins.
pub(super) fn offset_of(kind: Kind) -> u64 {
    match kind {
        Kind::Log | Kind::Whole => DATA_OFFSET,
        Kind::Keyed | Kind::Store => PRELUDE_LEN as u64,
    }
}

/// One state of a log object's tail. The slot with the higher generation counts; the other one is the state before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TailSlot {
    pub generation: u64,
    pub epoch: u64,
    /// Data bytes of a sealed object; 0 while it is open.
    pub sealed_len: u64,
    /// 0 while the object is open.
    pub summary_len: u32,
}

impl TailSlot {
    /// Where this state is written: never over the state before it.
    pub fn offset(&self) -> u64 {
        SLOT_OFFSETS[(self.generation % 2) as usize] as u64
    }

    pub fn encode(&self) -> [u8; SLOT_LEN] {
        let mut out = [0; SLOT_LEN];
        out[..8].copy_from_slice(&self.generation.to_le_bytes());
        out[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        out[16..24].copy_from_slice(&self.sealed_len.to_le_bytes());
        out[24..28].copy_from_slice(&self.summary_len.to_le_bytes());
        seal(&mut out);
        out
    }

    /// The state that counts, from the head of a log object.
    pub fn decode_newest(head: &[u8]) -> Outcome<Self> {
        let slots = SLOT_OFFSETS.iter().filter_map(|&at| Self::decode(head.get(at..at + SLOT_LEN)?));
        slots
            .max_by_key(|slot| slot.generation)
            .ok_or_else(|| Fault::corrupt("both records of the log's tail are damaged"))
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let mut rest = sealed(slot).then_some(slot)?;
        let (generation, epoch, sealed_len) = (rest.get_u64_le(), rest.get_u64_le(), rest.get_u64_le());
        Some(Self { generation, epoch, sealed_len, summary_len: rest.get_u32_le() })
    }
}

/// The payload of a keyed object: a count, then each key and value behind its length, sorted by key.
pub(super) fn encode_keys(map: &KvMap) -> Vec<u8> {
    let mut out = (map.len() as u64).to_le_bytes().to_vec();
    for (key, value) in map {
        for part in [key.as_bytes(), value] {
            out.extend_from_slice(&(part.len() as u64).to_le_bytes());
            out.extend_from_slice(part);
        }
    }
    out
}

/// The keys and values behind `prelude`, after its checksum was compared.
pub(super) fn decode_keys(prelude: &Prelude, payload: Bytes) -> Outcome<KvMap> {
    if payload.len() as u64 != prelude.data_len {
        let detail = format!("the file holds {} of {} bytes of keys", payload.len(), prelude.data_len);
        return Err(Fault::corrupt(detail));
    }
    if crc32c(&payload) != prelude.data_crc {
        return Err(Fault::corrupt("the checksum of the keys is wrong"));
    }
    let parsed = parse_keys(payload);
    parsed.ok_or_else(|| Fault::corrupt("the keys cannot be told apart"))
}

fn parse_keys(mut rest: Bytes) -> Option<KvMap> {
    let mut map = KvMap::new();
    let count = take_u64(&mut rest)?;
    for _ in 0..count {
        let key = String::from_utf8(take_part(&mut rest)?.to_vec()).ok()?;
        let value = take_part(&mut rest)?;
        map.insert(key, value);
    }
    (rest.is_empty() && map.len() as u64 == count).then_some(map)
}

fn take_part(rest: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(take_u64(rest)?).ok()?;
    (len <= rest.len()).then(|| rest.split_to(len))
}

fn take_u64(rest: &mut Bytes) -> Option<u64> {
    (rest.len() >= 8).then(|| rest.get_u64_le())
}

pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    // The 32 bits of a CRC-32 come in the low half.
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// Puts the checksum of a fixed structure into its last four bytes.
fn seal(structure: &mut [u8]) {
    let (body, crc) = structure.split_at_mut(structure.len() - 4);
    crc.copy_from_slice(&crc32c(body).to_le_bytes());
}

fn sealed(structure: &[u8]) -> bool {
    let (body, crc) = structure.split_at(structure.len() - 4);
    crc == crc32c(body).to_le_bytes()
}

#[cfg(test)]
mod tests;
