//! What stands before the differences in a file that has an image with all its snapshots.
use super::{Input, METADATA_BYTES_MAX, put_string};
use crate::error::{Failure, Result};
use crate::output::warn_named;
use std::collections::BTreeMap;

const BANNER: &[u8; 13] = b"rbd image v2\n";
const DIFFS_BANNER: &[u8; 19] = b"rbd image diffs v2\n";

/// How the image is laid out, and its metadata. What the file does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageHeader {
    /// log2 of the object size.
    pub order: Option<u64>,
    pub features: Option<u64>,
    /// Bytes.
    pub stripe_unit: Option<u64>,
    pub stripe_count: Option<u64>,
    pub metadata: BTreeMap<String, String>,
}

impl ImageHeader {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = BANNER.to_vec();
        let numbers = [(b'O', self.order), (b'T', self.features), (b'U', self.stripe_unit), (b'C', self.stripe_count)];
        for (tag, number) in numbers.into_iter().filter_map(|(tag, number)| Some((tag, number?))) {
            out.push(tag);
            out.extend(8_u64.to_le_bytes());
            out.extend(number.to_le_bytes());
        }
        for (key, value) in &self.metadata {
            out.push(b'M');
            out.extend((8 + key.len() as u64 + value.len() as u64).to_le_bytes());
            put_string(&mut out, key);
            put_string(&mut out, value);
        }
        out.push(b'E');
        out
    }

    /// `EINVAL`: there is none.
    pub fn read(input: &mut Input) -> Result<Self> {
        expect(input, BANNER)?;
        let mut found = Self::default();
        loop {
            let tag = input.byte("tag")?;
            if tag == b'E' {
                return Ok(found);
            }
            let len = input.u64("tag length")?;
            let number = match tag {
                b'O' => &mut found.order,
                b'T' => &mut found.features,
                b'U' => &mut found.stripe_unit,
                b'C' => &mut found.stripe_count,
                b'M' => {
                    let key = input.string(METADATA_BYTES_MAX, "metadata key")?;
                    let value = input.string(METADATA_BYTES_MAX, "metadata value")?;
                    check_length(tag, len, 8 + key.len() as u64 + value.len() as u64)?;
                    found.metadata.insert(key, value);
                    continue;
                }
                _ => {
                    warn_named(&format!("invalid tag in image properties zone: {}Skip it.", char::from(tag)));
                    input.skip(len, "skipped tag data")?;
                    continue;
                }
            };
            check_length(tag, len, 8)?;
            *number = Some(input.u64("image option")?);
        }
    }
}

fn check_length(tag: u8, told: u64, wanted: u64) -> Result<()> {
    if told == wanted {
        return Ok(());
    }
    let tag = char::from(tag);
    Err(Failure::invalid(format!("a record '{tag}' says that it has {told} bytes, which is not so")))
}

/// What stands before `count` differences.
pub fn encode_count(count: u64) -> Vec<u8> {
    let mut out = DIFFS_BANNER.to_vec();
    out.extend(count.to_le_bytes());
    out
}

pub fn read_count(input: &mut Input) -> Result<u64> {
    expect(input, DIFFS_BANNER)?;
    input.u64("diff count")
}

fn expect(input: &mut Input, banner: &[u8]) -> Result<()> {
    let mut found = vec![0; banner.len()];
    input.fill(&mut found, "diff banner")?;
    if found == banner { Ok(()) } else { Err(Failure::invalid("invalid or unexpected diff banner")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let metadata = [("key".to_owned(), "val".to_owned())].into();
        let header = ImageHeader {
            order: Some(22),
            features: Some(5),
            stripe_unit: Some(4 << 20),
            stripe_count: Some(1),
            metadata,
        };
        let mut bytes = header.encode();
        assert_eq!(bytes[..0x1e], *b"rbd image v2\nO\x08\0\0\0\0\0\0\0\x16\0\0\0\0\0\0\0");
        assert!(bytes.ends_with(b"M\x0e\0\0\0\0\0\0\0\x03\0\0\0key\x03\0\0\0valE"));
        bytes.extend(encode_count(3));
        let mut input = Input::of(&bytes);
        assert_eq!(ImageHeader::read(&mut input).unwrap(), header);
        assert_eq!(read_count(&mut input).unwrap(), 3);
        for len in 0..bytes.len() {
            let mut input = Input::of(&bytes[..len]);
            let read = ImageHeader::read(&mut input).and_then(|_| read_count(&mut input));
            assert_eq!(read.unwrap_err().code, nix::libc::EDOM, "{len} bytes");
        }
    }

    #[test]
    fn what_is_not_known_is_skipped() {
        let mut input = Input::of(b"rbd image v2\nX\x02\0\0\0\0\0\0\0abE");
        assert_eq!(ImageHeader::read(&mut input).unwrap(), ImageHeader::default());
        assert_eq!(ImageHeader::read(&mut Input::of(b"rbd image v1\nE")).unwrap_err().code, nix::libc::EINVAL);
        let wrong = b"rbd image v2\nO\x04\0\0\0\0\0\0\0\x16\0\0\0\0\0\0\0E";
        assert_eq!(ImageHeader::read(&mut Input::of(wrong)).unwrap_err().code, nix::libc::EINVAL);
    }
}
