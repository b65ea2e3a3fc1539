//! A stock image that is open.
//!
//! Owns: its handle, and that it is closed once. Does not own: threads, every call here blocks; changing it
//! (`writing.rs`).
use super::functions::{Functions, Open, RawImage};
use super::library::Library;
use crate::callback::on_librados_thread;
use crate::error::{RadosError, RadosResult, c_string, check};
use crate::ioctx::IoCtx;
use crate::text::grown_text;
use nix::libc;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::ops::Range;
use std::ptr;

/// By which an image is found.
#[derive(Clone, Copy)]
pub(super) enum Named<'a> {
    Name(&'a str),
    Id(&'a str),
}

pub(super) struct StockImage {
    pub(super) raw: RawImage,
    pub(super) functions: Functions,
    /// For messages.
    pub(super) name: String,
    /// The image has contexts of its own; the connection stays as long as this one.
    io: IoCtx,
}

// SAFETY: librbd's images may be used from any thread.
unsafe impl Send for StockImage {}
// SAFETY: as above, also from several at once.
unsafe impl Sync for StockImage {}

impl fmt::Debug for StockImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StockImage").field("name", &self.name).field("io", &self.io).finish_non_exhaustive()
    }
}

impl Drop for StockImage {
    fn drop(&mut self) {
        struct Closing(RawImage, Functions, IoCtx);
        // SAFETY: one thread has it, to close it.
        unsafe impl Send for Closing {}
        impl Closing {
            fn close(self) {
                let Self(raw, functions, io) = self;
                // SAFETY: opened by this library, and nobody has it any more.
                unsafe { (functions.close)(raw) };
                // Not before: the connection may go with it.
                drop(io);
            }
        }
        let closing = Closing(self.raw, self.functions, self.io.clone());
        if on_librados_thread() {
            // It would wait for this very thread. If no thread can be had, the image stays open until the process ends.
            let _ = std::thread::Builder::new().name("rbd-close".to_owned()).spawn(move || closing.close());
        } else {
            closing.close();
        }
    }
}

impl StockImage {
    /// Read-only. ENOENT; EOPNOTSUPP: the library lacks a function.
    pub fn open(library: &Library, io: IoCtx, image: Named) -> RadosResult<Self> {
        let functions = Functions::of_library(library)?;
        let (text, open) = match image {
            Named::Name(name) => (name, functions.open),
            Named::Id(id) => (id, functions.open_by_id),
        };
        Self::open_by(functions, io, (text, open))
    }

    /// The same, to be changed.
    pub fn open_to_write(library: &Library, io: IoCtx, id: &str) -> RadosResult<Self> {
        let functions = Functions::of_library(library)?;
        Self::open_by(functions, io, (id, functions.open_to_write))
    }

    fn open_by(functions: Functions, io: IoCtx, (text, open): (&str, Open)) -> RadosResult<Self> {
        let name = c_string(text, "open")?;
        let mut raw = ptr::null_mut();
        // SAFETY: a live context, a C string, and a place for the image.
        check(unsafe { open(io.raw().cast(), name.as_ptr(), &mut raw, ptr::null()) }, "open", text)?;
        Ok(Self { raw, functions, name: text.to_owned(), io })
    }

    pub fn id(&self) -> RadosResult<String> {
        // SAFETY: an open image, and a buffer of that size.
        let get = |buffer: *mut _, len: usize| unsafe { (self.functions.id)(self.raw, buffer, len) };
        grown_text(&[libc::ERANGE], get, "get_id", &self.name)
    }

    /// Bytes; of the snapshot, once one is set.
    pub fn size(&self) -> RadosResult<u64> {
        let mut size = 0;
        // SAFETY: an open image, and a place for a number.
        check(unsafe { (self.functions.size)(self.raw, &mut size) }, "get_size", &self.name)?;
        Ok(size)
    }

    /// When it was made: seconds and nanoseconds.
    pub fn created(&self) -> RadosResult<(i64, i64)> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: an open image, and a structure to fill.
        check(unsafe { (self.functions.created)(self.raw, &mut time) }, "get_create_timestamp", &self.name)?;
        Ok((time.tv_sec, time.tv_nsec))
    }

    /// Its number, and whether it is protected. ENOENT.
    pub fn snapshot(&self, name: &str) -> RadosResult<(u64, bool)> {
        let of = format!("{}@{name}", self.name);
        let name = c_string(name, "snap_get_id")?;
        let (mut id, mut protected) = (0, 0);
        // SAFETY: an open image, a C string, and places for numbers.
        unsafe {
            check((self.functions.snap_id)(self.raw, name.as_ptr(), &mut id), "snap_get_id", &of)?;
            check((self.functions.is_protected)(self.raw, name.as_ptr(), &mut protected), "snap_is_protected", &of)?;
        }
        Ok((id, protected != 0))
    }

    /// Shows this snapshot from now on. ENOENT.
    pub fn show(&self, snapshot: u64) -> RadosResult<()> {
        // SAFETY: an open image.
        check(unsafe { (self.functions.snap_set)(self.raw, snapshot) }, "snap_set", &self.name).map(drop)
    }

    /// Exactly so many bytes. EIO: there are fewer.
    pub fn read(&self, offset: u64, len: usize) -> RadosResult<Vec<u8>> {
        let mut bytes = vec![0_u8; len];
        // SAFETY: an open image, and a buffer of that size.
        let read = unsafe { (self.functions.read)(self.raw, offset, len, bytes.as_mut_ptr().cast()) };
        match usize::try_from(read) {
            Ok(read) if read == len => Ok(bytes),
            Ok(_) => Err(RadosError::new(libc::EIO, "read", &self.name)),
            Err(_) => Err(RadosError::new(c_int::try_from(read).unwrap_or(libc::EIO), "read", &self.name)),
        }
    }

    /// What of a range has content, the parents' included: in order, apart from each other.
    pub fn data(&self, offset: u64, len: u64) -> RadosResult<Vec<Range<u64>>> {
        unsafe extern "C" fn note(offset: u64, len: usize, exists: c_int, found: *mut c_void) -> c_int {
            if exists != 0 {
                // SAFETY: the list below, which one call at a time gets.
                unsafe { &mut *found.cast::<Vec<Range<u64>>>() }.push(offset..offset + len as u64);
            }
            0
        }
        let mut found: Vec<Range<u64>> = Vec::new();
        // SAFETY: an open image, and a function as it is asked for with the list that it gets, until the call is over.
        let code = unsafe {
            (self.functions.extents)(self.raw, ptr::null(), offset, len, 1, 0, note, (&raw mut found).cast())
        };
        check(code, "diff_iterate", &self.name)?;
        found.sort_unstable_by_key(|range| range.start);
        Ok(joined(found))
    }
}

/// Ranges in order, those that touch as one.
fn joined(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn ranges_that_touch_are_one() {
        assert_eq!(joined(vec![0..4, 4..8, 6..7, 9..10]), [0..8, 9..10]);
        assert_eq!(joined(Vec::new()), []);
    }
}
