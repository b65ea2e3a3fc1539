//! Object names as file names.
//!
//! Letters, digits, `_`, `-` and `.` (but not a leading one) stand for themselves; every other byte of the UTF-8 name is
//! `%` and two upper-case hex digits. Each name has exactly one file name and the other way round.
use super::fault::{Fault, Outcome};
use crate::StoreErrorKind;

/// Longest file name of the usual local file systems, bytes. A longer name is refused (`Invalid`).
const FILE_NAME_MAX_BYTES: usize = 255;

pub(super) fn encode(name: &str) -> Outcome<String> {
    let mut file = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || (byte == b'.' && place > 0) {
            file.push(char::from(byte));
        } else {
            file.push_str(&format!("%{byte:02X}"));
        }
    }
    if file.is_empty() {
        return Err(Fault::new(StoreErrorKind::Invalid, "an object needs a name"));
    }
    if file.len() > FILE_NAME_MAX_BYTES {
        let detail =
            format!("its file name would have {} bytes, at most {FILE_NAME_MAX_BYTES} are possible", file.len());
        return Err(Fault::new(StoreErrorKind::Invalid, detail));
    }
    Ok(file)
}

/// The name behind a file name; `None` for a file that this store did not name.
pub(super) fn decode(file: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(file.len());
    let mut rest = file.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    let name = String::from_utf8(bytes).ok()?;
    (encode(&name).ok()? == file).then_some(name)
}

#[cfg(test)]
mod tests;
