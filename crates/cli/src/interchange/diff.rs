//! The records of a difference between two moments of an image.
//!
//! Version 2 has the length of each record in front of it, so that one which is not known can be skipped, and says of the snapshot
//! at the end whether it is protected. Of that record the length is not looked at: rbd 16 writes 8 and means 1.
use super::{Input, NAME_BYTES_MAX, put_string};
use crate::error::{Failure, Result};
use crate::output::warn;

const BANNER_BYTES: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

impl Version {
    pub fn banner(self) -> &'static [u8; BANNER_BYTES] {
        match self {
            Version::One => b"rbd diff v1\n",
            Version::Two => b"rbd diff v2\n",
        }
    }

    /// Which one begins here. `EINVAL`: none.
    pub fn read(input: &mut Input) -> Result<Self> {
        let mut found = [0; BANNER_BYTES];
        input.fill(&mut found, "diff banner")?;
        let known = [Version::One, Version::Two].into_iter().find(|version| *version.banner() == found);
        known.ok_or_else(|| Failure::invalid("invalid or unexpected diff banner"))
    }
}

/// Sizes, offsets and lengths are bytes of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The snapshot that the image must have.
    From(String),
    /// The snapshot that it has afterwards.
    To(String),
    /// Whether that one is protected.
    Protected(bool),
    /// What the image's size is afterwards.
    Size(u64),
    /// As many bytes follow.
    Write {
        offset: u64,
        len: u64,
    },
    Zero {
        offset: u64,
        len: u64,
    },
    End,
}

impl Record {
    fn tag(&self) -> u8 {
        match self {
            Record::From(_) => b'f',
            Record::To(_) => b't',
            Record::Protected(_) => b'p',
            Record::Size(_) => b's',
            Record::Write { .. } => b'w',
            Record::Zero { .. } => b'z',
            Record::End => b'e',
        }
    }

    /// Of a write without its data.
    pub fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = Vec::new();
        let mut data = 0;
        match self {
            Record::From(name) | Record::To(name) => put_string(&mut body, name),
            Record::Protected(protected) => body.push(u8::from(*protected)),
            Record::Size(size) => body.extend(size.to_le_bytes()),
            Record::Write { offset, len } | Record::Zero { offset, len } => {
                body.extend(offset.to_le_bytes());
                body.extend(len.to_le_bytes());
                data = if matches!(self, Record::Write { .. }) { *len } else { 0 };
            }
            Record::End => return vec![self.tag()],
        }
        let mut out = vec![self.tag()];
        if version == Version::Two {
            out.extend((body.len() as u64 + data).to_le_bytes());
        }
        out.extend(body);
        out
    }

    /// The next one. `EINVAL`: it is none, or says a length that it does not have.
    pub fn read(input: &mut Input, version: Version) -> Result<Self> {
        loop {
            let tag = input.byte("tag")?;
            if tag == b'e' {
                return Ok(Record::End);
            }
            let told = match version {
                Version::One => None,
                Version::Two => Some(input.u64("tag length")?),
            };
            if let Some(record) = Self::read_tagged(input, tag)? {
                return record.checked(told);
            }
            let unknown = format!("unrecognized tag byte {tag} in stream");
            let Some(len) = told else { return Err(Failure::bare(nix::libc::EINVAL, unknown)) };
            warn(&format!("{unknown}; skipping"));
            input.skip(len, "skipped tag data")?;
        }
    }

    fn read_tagged(input: &mut Input, tag: u8) -> Result<Option<Self>> {
        Ok(Some(match tag {
            b'f' => Record::From(input.string(NAME_BYTES_MAX, "start snap name")?),
            b't' => Record::To(input.string(NAME_BYTES_MAX, "end snap name")?),
            b'p' => Record::Protected(input.byte("snap protection status")? != 0),
            b's' => Record::Size(input.u64("image size")?),
            b'w' => Record::Write { offset: input.u64("IO length")?, len: input.u64("IO length")? },
            b'z' => Record::Zero { offset: input.u64("IO length")?, len: input.u64("IO length")? },
            _ => return Ok(None),
        }))
    }

    fn checked(self, told: Option<u64>) -> Result<Self> {
        let Some(told) = told else { return Ok(self) };
        let wanted = match &self {
            Record::Protected(_) | Record::End => return Ok(self),
            Record::From(name) | Record::To(name) => Some(4 + name.len() as u64),
            Record::Size(_) => Some(8),
            Record::Write { len, .. } => len.checked_add(16),
            Record::Zero { .. } => Some(16),
        };
        if wanted == Some(told) {
            return Ok(self);
        }
        let tag = char::from(self.tag());
        Err(Failure::invalid(format!("a record '{tag}' says that it has {told} bytes, which is not so")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc;

    fn all() -> [Record; 7] {
        [
            Record::From("old".to_owned()),
            Record::To("newer".to_owned()),
            Record::Protected(true),
            Record::Size(1 << 30),
            Record::Zero { offset: 5, len: 7 },
            Record::Write { offset: 1 << 20, len: 3 },
            Record::End,
        ]
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        for version in [Version::One, Version::Two] {
            let mut bytes = version.banner().to_vec();
            for record in all() {
                bytes.extend(record.encode(version));
                if let Record::Write { .. } = record {
                    bytes.extend(b"abc");
                }
            }
            let mut input = Input::of(&bytes);
            assert_eq!(Version::read(&mut input).unwrap(), version);
            for record in all() {
                assert_eq!(Record::read(&mut input, version).unwrap(), record);
                if let Record::Write { .. } = record {
                    input.skip(3, "write data").unwrap();
                }
            }
            assert_eq!(input.at(), bytes.len() as u64);
            // However much is missing, it is noticed.
            for len in 0..bytes.len() {
                let mut input = Input::of(&bytes[..len]);
                let mut read = || -> Result<()> {
                    Version::read(&mut input)?;
                    loop {
                        match Record::read(&mut input, version)? {
                            Record::End => return Ok(()),
                            Record::Write { len, .. } => input.skip(len, "write data")?,
                            _ => {}
                        }
                    }
                };
                assert_eq!(read().unwrap_err().code, libc::EDOM, "{len} bytes");
            }
        }
    }

    #[test]
    fn the_bytes_are_rbd_s() {
        assert_eq!(Record::To("s2".to_owned()).encode(Version::One), b"t\x02\0\0\0s2");
        assert_eq!(Record::To("s2".to_owned()).encode(Version::Two), b"t\x06\0\0\0\0\0\0\0\x02\0\0\0s2");
        let write = Record::Write { offset: 0x11_e000, len: 0x1000 };
        assert_eq!(write.encode(Version::One), b"w\0\xe0\x11\0\0\0\0\0\0\x10\0\0\0\0\0\0");
        assert_eq!(write.encode(Version::Two)[..9], *b"w\x10\x10\0\0\0\0\0\0");
        // rbd 16 says 8 bytes and writes one.
        let mut input = Input::of(b"p\x08\0\0\0\0\0\0\0\x01e");
        assert_eq!(Record::read(&mut input, Version::Two).unwrap(), Record::Protected(true));
        assert_eq!(Record::read(&mut input, Version::Two).unwrap(), Record::End);
    }

    #[test]
    fn what_is_not_known_is_skipped_where_it_has_a_length() {
        let mut input = Input::of(b"q\x03\0\0\0\0\0\0\0abce");
        assert_eq!(Record::read(&mut input, Version::Two).unwrap(), Record::End);
        let refused = Record::read(&mut Input::of(b"qabce"), Version::One).unwrap_err();
        assert_eq!(refused.code, libc::EINVAL);
    }

    #[test]
    fn wrong_lengths_are_damage() {
        let wrong: [&[u8]; 4] = [
            b"s\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0",
            b"z\x18\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0",
            b"w\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff",
            b"t\x07\0\0\0\0\0\0\0\x02\0\0\0s2",
        ];
        for bytes in wrong {
            assert_eq!(Record::read(&mut Input::of(bytes), Version::Two).unwrap_err().code, libc::EINVAL, "{bytes:?}");
        }
        let long = Record::read(&mut Input::of(b"t\xff\xff\0\0s2"), Version::One).unwrap_err();
        assert_eq!((long.code, long.message.as_str()), (libc::EINVAL, "failed to decode end snap name"));
        assert_eq!(Version::read(&mut Input::of(b"rbd diff v3\n")).unwrap_err().code, libc::EINVAL);
    }
}
