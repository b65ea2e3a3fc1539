//! What RBD keeps of an image outside of its data, as far as a migration needs it and the stock library's C interface has no call: its
//! metadata by the id, who is in the trash, what a name leads to.
//!
//! Owns: the bytes, as the class `rbd` takes and gives them (cls_rbd.cc, cls_rbd_types.h). Does not own: what is noted (`moved.rs`).
use crate::error::{RadosError, RadosResult};
use crate::ioctx::IoCtx;
use nix::libc;

const TRASH: &str = "rbd_trash";
/// Entries of the trash that one call gives.
const PAGE: u64 = 256;
/// Their keys are this and the id.
const TRASH_KEY: &str = "id_";
/// More than the object of any name has, bytes.
const LONGEST_ID: u64 = 4096;

/// The image's header object.
pub(super) fn header(id: &str) -> String {
    format!("rbd_header.{id}")
}

pub(super) fn put(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Takes what was encoded from the front of `rest`. `None`: it is too short.
fn take_bytes<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

pub(super) fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take_bytes(rest, 4)?.try_into().ok()?))
}

pub(super) fn take_text(rest: &mut &[u8]) -> Option<String> {
    let len = take_u32(rest)? as usize;
    Some(String::from_utf8_lossy(take_bytes(rest, len)?).into_owned())
}

fn not_as_expected(operation: &'static str, object: &str) -> RadosError {
    RadosError::new(libc::EIO, operation, object)
}

/// The id of the image of this name.
pub(super) async fn id_of(io: &IoCtx, name: &str) -> RadosResult<Option<String>> {
    let object = format!("rbd_id.{name}");
    match io.read(&object, 0, LONGEST_ID).await {
        Ok(bytes) => take_text(&mut &bytes[..]).map(Some).ok_or_else(|| not_as_expected("get_id", &object)),
        Err(error) if error.errno == libc::ENOENT => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the image's metadata has under the key; also `None` where there is no such image.
pub(super) async fn metadata(io: &IoCtx, id: &str, key: &str) -> RadosResult<Option<String>> {
    let mut input = Vec::new();
    put(&mut input, key);
    match io.exec(&header(id), "rbd", "metadata_get", &input).await {
        Ok(bytes) => take_text(&mut &bytes[..]).map(Some).ok_or_else(|| not_as_expected("metadata_get", id)),
        Err(error) if error.errno == libc::ENOENT => Ok(None),
        Err(error) => Err(error),
    }
}

/// Ids and former names of what is in the trash.
pub(super) async fn trash(io: &IoCtx) -> RadosResult<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    loop {
        let mut input = Vec::new();
        put(&mut input, found.last().map_or("", |(id, _)| id));
        input.extend(PAGE.to_le_bytes());
        let page = match io.exec(TRASH, "rbd", "trash_list", &input).await {
            Ok(bytes) => decode_trash(&bytes).ok_or_else(|| not_as_expected("trash_list", TRASH))?,
            Err(error) if error.errno == libc::ENOENT => return Ok(found),
            Err(error) => return Err(error),
        };
        let is_last = page.is_empty();
        found.extend(page);
        if is_last {
            return Ok(found);
        }
    }
}

/// A map of ids to records: version, what can read it, length; source, name, times.
fn decode_trash(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut rest = bytes;
    let mut found = Vec::new();
    for _ in 0..take_u32(&mut rest)? {
        let key = take_text(&mut rest)?;
        let id = key.strip_prefix(TRASH_KEY).unwrap_or(&key).to_owned();
        take_bytes(&mut rest, 2)?;
        let len = take_u32(&mut rest)? as usize;
        let mut record = take_bytes(&mut rest, len)?;
        take_bytes(&mut record, 1)?;
        found.push((id, take_text(&mut record)?));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::decode_trash;

    #[test]
    fn entries_of_the_trash_have_their_length_before_them() {
        let mut bytes = vec![2, 0, 0, 0];
        for (id, name) in [("1f", "a"), ("20", "bc")] {
            bytes.extend([2, 0, 0, 0]);
            bytes.extend(id.bytes());
            let record = 1 + 4 + name.len() as u8 + 16;
            bytes.extend([1, 1, record, 0, 0, 0, 0, name.len() as u8, 0, 0, 0]);
            bytes.extend(name.bytes());
            bytes.extend([0; 16]);
        }
        let pair = |id: &str, name: &str| (id.to_owned(), name.to_owned());
        assert_eq!(decode_trash(&bytes), Some(vec![pair("1f", "a"), pair("20", "bc")]));
        for short in 0..bytes.len() {
            assert_eq!(decode_trash(&bytes[..short]), None, "{short}");
        }
    }
}
