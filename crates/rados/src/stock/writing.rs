//! Changing a stock image that is open.
//!
//! Owns: the calls. Does not own: threads, every call here blocks; in which order they come (`moved.rs`, `disk.rs`).
use super::functions::RawInfo;
use super::image::StockImage;
use crate::error::{RadosError, RadosResult, c_string, check};
use nix::libc;
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int};
use std::ptr;

/// Bytes of keys, and of values, that are listed at first.
const METADATA_BYTES: usize = 4096;
/// `RBD_LOCK_MODE_EXCLUSIVE`.
const EXCLUSIVE: c_int = 0;

impl StockImage {
    fn number(
        &self,
        get: unsafe extern "C" fn(super::functions::RawImage, *mut u64) -> c_int,
        operation: &'static str,
    ) -> RadosResult<u64> {
        let mut number = 0;
        // SAFETY: an open image, and a place for a number.
        check(unsafe { get(self.raw, &mut number) }, operation, &self.name)?;
        Ok(number)
    }

    pub fn features(&self) -> RadosResult<u64> {
        self.number(self.functions.features, "get_features")
    }

    pub fn op_features(&self) -> RadosResult<u64> {
        self.number(self.functions.op_features, "get_op_features")
    }

    /// log2 of the objects' size.
    pub fn order(&self) -> RadosResult<u8> {
        let mut info = RawInfo::EMPTY;
        // SAFETY: an open image, and a structure of that size to fill.
        check(unsafe { (self.functions.stat)(self.raw, &mut info, size_of::<RawInfo>()) }, "stat", &self.name)?;
        u8::try_from(info.order).map_err(|_| RadosError::new(libc::EIO, "stat", &self.name))
    }

    pub fn has_snapshots(&self) -> RadosResult<bool> {
        let mut room: c_int = 0;
        // SAFETY: an open image, and room for no snapshot.
        let code = unsafe { (self.functions.snap_list)(self.raw, ptr::null_mut(), &mut room) };
        match code {
            code if code == -libc::ERANGE => Ok(room > 1),
            code => check(code, "snap_list", &self.name).map(|found| found > 0),
        }
    }

    fn with_text(
        &self,
        call: unsafe extern "C" fn(super::functions::RawImage, *const c_char) -> c_int,
        operation: &'static str,
        text: &str,
    ) -> RadosResult<()> {
        let of = format!("{}@{text}", self.name);
        let text = c_string(text, operation)?;
        // SAFETY: an open image, and a C string that lives through the call.
        check(unsafe { call(self.raw, text.as_ptr()) }, operation, &of).map(drop)
    }

    /// EEXIST.
    pub fn snap_create(&self, name: &str) -> RadosResult<()> {
        self.with_text(self.functions.snap_create, "snap_create", name)
    }

    /// EBUSY: it is protected.
    pub fn snap_protect(&self, name: &str) -> RadosResult<()> {
        self.with_text(self.functions.snap_protect, "snap_protect", name)
    }

    /// EBUSY: it has children. EINVAL: it is not protected.
    pub fn snap_unprotect(&self, name: &str) -> RadosResult<()> {
        self.with_text(self.functions.snap_unprotect, "snap_unprotect", name)
    }

    /// ENOENT; EBUSY: it is protected.
    pub fn snap_remove(&self, name: &str) -> RadosResult<()> {
        self.with_text(self.functions.snap_remove, "snap_remove", name)
    }

    /// Nobody else gets the lock as long as this one is open. EROFS, EBUSY: somebody keeps it.
    pub fn lock(&self) -> RadosResult<()> {
        // SAFETY: an open image.
        check(unsafe { (self.functions.lock)(self.raw, EXCLUSIVE) }, "lock_acquire", &self.name).map(drop)
    }

    pub fn write(&self, offset: u64, data: &[u8]) -> RadosResult<()> {
        // SAFETY: an open image, and a buffer of that size.
        let written = unsafe { (self.functions.write)(self.raw, offset, data.len(), data.as_ptr().cast()) };
        self.all(written, data.len(), "write")
    }

    /// The range reads as zeroes afterwards, to the byte.
    pub fn zero(&self, offset: u64, len: usize) -> RadosResult<()> {
        // SAFETY: an open image.
        let zeroed = unsafe { (self.functions.zero)(self.raw, offset, len, 0, 0) };
        self.all(zeroed, len, "write_zeroes")
    }

    fn all(&self, done: isize, wanted: usize, operation: &'static str) -> RadosResult<()> {
        match usize::try_from(done) {
            Ok(done) if done == wanted => Ok(()),
            Ok(_) => Err(RadosError::new(libc::EIO, operation, &self.name)),
            Err(_) => {
                let code = c_int::try_from(done).unwrap_or(-libc::EIO);
                check(code, operation, &self.name).map(drop)
            }
        }
    }

    pub fn resize(&self, size: u64) -> RadosResult<()> {
        // SAFETY: an open image.
        check(unsafe { (self.functions.resize)(self.raw, size) }, "resize", &self.name).map(drop)
    }

    pub fn flush(&self) -> RadosResult<()> {
        // SAFETY: an open image.
        check(unsafe { (self.functions.flush)(self.raw) }, "flush", &self.name).map(drop)
    }

    pub fn set_metadata(&self, key: &str, value: &str) -> RadosResult<()> {
        let (name, value) = (c_string(key, "metadata_set")?, c_string(value, "metadata_set")?);
        // SAFETY: an open image, and C strings that live through the call.
        let code = unsafe { (self.functions.metadata_set)(self.raw, name.as_ptr(), value.as_ptr()) };
        check(code, "metadata_set", key).map(drop)
    }

    /// One that is gone is right.
    pub fn remove_metadata(&self, key: &str) -> RadosResult<()> {
        match self.with_text(self.functions.metadata_remove, "metadata_remove", key) {
            Err(error) if error.errno == libc::ENOENT => Ok(()),
            removed => removed,
        }
    }

    pub fn metadata(&self) -> RadosResult<BTreeMap<String, String>> {
        let (mut keys, mut values) = (vec![0_u8; METADATA_BYTES], vec![0_u8; METADATA_BYTES]);
        let all = c_string("", "metadata_list")?;
        loop {
            let (mut key_bytes, mut value_bytes) = (keys.len(), values.len());
            // SAFETY: an open image, a C string, and buffers of the sizes that are said.
            let code = unsafe {
                let (keys, values) = (keys.as_mut_ptr().cast(), values.as_mut_ptr().cast());
                (self.functions.metadata_list)(
                    self.raw,
                    all.as_ptr(),
                    0,
                    keys,
                    &mut key_bytes,
                    values,
                    &mut value_bytes,
                )
            };
            if code == -libc::ERANGE {
                // Both alike: there were versions that looked at the size of the wrong one.
                let room = key_bytes.max(value_bytes).max(2 * keys.len());
                keys.resize(room, 0);
                values.resize(room, 0);
                continue;
            }
            check(code, "metadata_list", &self.name)?;
            keys.truncate(key_bytes);
            values.truncate(value_bytes);
            return Ok(texts(&keys).zip(texts(&values)).collect());
        }
    }
}

/// Texts that each end with a zero.
fn texts(bytes: &[u8]) -> impl Iterator<Item = String> {
    let whole = bytes.strip_suffix(&[0]);
    let parts = whole.map(|bytes| bytes.split(|byte| *byte == 0));
    parts.into_iter().flatten().map(|text| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::texts;

    #[test]
    fn texts_end_with_a_zero_each() {
        let all = |bytes: &[u8]| texts(bytes).collect::<Vec<_>>();
        assert_eq!(all(b"a\0\0bc\0"), ["a", "", "bc"]);
        assert!(all(b"").is_empty());
    }
}
