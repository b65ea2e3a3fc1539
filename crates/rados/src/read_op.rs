//! Compound read operations: several guards and reads of one object, all of the same state.
//!
//! Owns: the `rados_read_op_t` and the places its results go to, which stay where they are until librados is done.
//! Operating consumes it. Each kind of read can be asked once, of data any number.
use crate::completion::{Start, Submitted};
use crate::error::{RadosError, RadosResult};
use crate::ioctx::{IoCtx, ObjectStat};
use crate::write_op::OpFlags;
use bytes::Bytes;
use futures::FutureExt;
use lsd_librados_sys as sys;
use nix::libc;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

/// What a compound read is to return.
#[derive(Debug, Default)]
pub struct ReadOp {
    version: Option<u64>,
    stat: bool,
    xattrs: bool,
    omap: Option<OmapRange>,
    data: Vec<(u64, usize)>,
    flags: OpFlags,
}

#[derive(Debug)]
struct OmapRange {
    after: String,
    prefix: String,
    max: u64,
}

/// What a compound read returned; what was not asked for is empty.
#[derive(Debug, Default)]
pub struct ReadOutcome {
    /// The object's version.
    pub version: u64,
    pub stat: Option<ObjectStat>,
    pub xattrs: BTreeMap<String, Bytes>,
    pub omap: OmapPage,
    pub data: Vec<Bytes>,
}

/// Some keys and values of an object, in the order of the keys.
#[derive(Debug, Default)]
pub struct OmapPage {
    pub entries: Vec<(Bytes, Bytes)>,
    /// There are more keys after these.
    pub more: bool,
}

impl ReadOp {
    pub fn new() -> Self {
        Self::default()
    }

    /// The object must have this version: ERANGE if it is newer, EOVERFLOW if it is older.
    #[must_use]
    pub fn assert_version(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }

    /// Takes its place behind the writes of the object that were sent before, see [`OpFlags::ORDERED_READ`].
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.flags = OpFlags::ORDERED_READ;
        self
    }

    #[must_use]
    pub fn stat(mut self) -> Self {
        self.stat = true;
        self
    }

    /// All extended attributes.
    #[must_use]
    pub fn xattrs(mut self) -> Self {
        self.xattrs = true;
        self
    }

    /// `len` bytes from `offset`, not 0: shorter at the end of the object, empty beyond it.
    #[must_use]
    pub fn data(mut self, offset: u64, len: usize) -> Self {
        self.data.push((offset, len));
        self
    }

    /// Up to `max` keys that start with `prefix` and sort after `after`, with their values. Neither may have a NUL
    /// inside; keys and values that come back are any bytes.
    #[must_use]
    pub fn omap(mut self, after: &str, prefix: &str, max: u64) -> Self {
        self.omap = Some(OmapRange { after: after.to_owned(), prefix: prefix.to_owned(), max });
        self
    }
}

/// The operation in flight and where librados puts its results.
struct Flight {
    raw: sys::rados_read_op_t,
    size: u64,
    modified_at: sys::time_t,
    xattrs: sys::rados_xattrs_iter_t,
    omap: sys::rados_omap_iter_t,
    more: u8,
    step: c_int,
    data: Vec<Piece>,
}

/// Room for a read of data, and how much came.
struct Piece {
    room: Vec<u8>,
    read: usize,
    code: c_int,
}

// SAFETY: plain objects of librados, used by one thread at a time.
unsafe impl Send for Flight {}

impl Drop for Flight {
    fn drop(&mut self) {
        // SAFETY: made by librados for us, released once; an iterator that was never filled in is null.
        unsafe {
            if !self.xattrs.is_null() {
                sys::rados_getxattrs_end(self.xattrs);
            }
            if !self.omap.is_null() {
                sys::rados_omap_get_end(self.omap);
            }
            sys::rados_release_read_op(self.raw);
        }
    }
}

impl Flight {
    fn new(op: &ReadOp) -> Self {
        // SAFETY: no arguments.
        let raw = unsafe { sys::rados_create_read_op() };
        let room = |(_, len): &(u64, usize)| Piece { room: Vec::with_capacity(*len), read: 0, code: 0 };
        let data = op.data.iter().map(room).collect();
        Self { raw, size: 0, modified_at: 0, xattrs: ptr::null_mut(), omap: ptr::null_mut(), more: 0, step: 0, data }
    }

    /// Adds the steps, whose results go to this place.
    ///
    /// # Safety
    /// `place` stays valid until librados is done with the operation, or the operation is never submitted.
    unsafe fn prepare(place: *mut Self, op: &ReadOp, after: &CStr, prefix: &CStr) {
        // SAFETY: a live operation and places that stay, by the contract; texts are copied.
        unsafe {
            let raw = (*place).raw;
            let step = &raw mut (*place).step;
            if let Some(version) = op.version {
                sys::rados_read_op_assert_version(raw, version);
            } else {
                sys::rados_read_op_assert_exists(raw);
            }
            if op.stat {
                sys::rados_read_op_stat(raw, &raw mut (*place).size, &raw mut (*place).modified_at, step);
            }
            if op.xattrs {
                sys::rados_read_op_getxattrs(raw, &raw mut (*place).xattrs, step);
            }
            if let Some(range) = &op.omap {
                let (iterator, more) = (&raw mut (*place).omap, &raw mut (*place).more);
                let (after, prefix) = (after.as_ptr(), prefix.as_ptr());
                sys::rados_read_op_omap_get_vals2(raw, after, prefix, range.max, iterator, more, step);
            }
            for ((offset, len), piece) in op.data.iter().zip((*place).data.iter_mut()) {
                let room = piece.room.as_mut_ptr().cast();
                sys::rados_read_op_read(raw, *offset, *len, room, &raw mut piece.read, &raw mut piece.code);
            }
        }
    }

    fn outcome(mut self, op: &ReadOp, version: u64) -> ReadOutcome {
        let data = std::mem::take(&mut self.data).into_iter().map(Piece::filled).collect();
        let stat = op.stat.then_some(ObjectStat { size: self.size, modified_at: self.modified_at });
        let omap = OmapPage { entries: self.entries(), more: self.more != 0 };
        ReadOutcome { version, stat, xattrs: self.attributes(), omap, data }
    }

    fn entries(&self) -> Vec<(Bytes, Bytes)> {
        let mut entries = Vec::new();
        while !self.omap.is_null() {
            let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
            let (mut key_len, mut value_len) = (0, 0);
            // SAFETY: an iterator that librados filled, and places for one entry.
            let code =
                unsafe { sys::rados_omap_get_next2(self.omap, &mut key, &mut value, &mut key_len, &mut value_len) };
            if code < 0 || key.is_null() {
                break;
            }
            // SAFETY: as many bytes as librados says, which stay until the iterator ends.
            entries.push(unsafe { (copied(key, key_len), copied(value, value_len)) });
        }
        entries
    }

    fn attributes(&self) -> BTreeMap<String, Bytes> {
        let mut attributes = BTreeMap::new();
        while !self.xattrs.is_null() {
            let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
            // SAFETY: an iterator that librados filled, and places for one attribute.
            let code = unsafe { sys::rados_getxattrs_next(self.xattrs, &mut name, &mut value, &mut len) };
            if code < 0 || name.is_null() {
                break;
            }
            // SAFETY: a C string and as many bytes as librados says, which stay until the iterator ends.
            let (name, value) = unsafe { (CStr::from_ptr(name), copied(value, len)) };
            attributes.insert(name.to_string_lossy().into_owned(), value);
        }
        attributes
    }
}

impl Piece {
    fn filled(mut self) -> Bytes {
        let read = if self.code < 0 { 0 } else { self.read.min(self.room.capacity()) };
        // SAFETY: librados wrote this many bytes from the start of the room.
        unsafe { self.room.set_len(read) };
        self.room.into()
    }
}

/// # Safety
/// `data` is null or has `len` readable bytes.
unsafe fn copied(data: *const c_char, len: usize) -> Bytes {
    if data.is_null() {
        return Bytes::new();
    }
    // SAFETY: by the contract.
    Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

impl IoCtx {
    /// Submits a compound read. ENOENT.
    pub fn read_op(
        &self,
        object: &str,
        op: ReadOp,
        operation: &'static str,
    ) -> impl Future<Output = RadosResult<ReadOutcome>> + Send + use<> {
        let io = self.raw();
        let fault = |_| RadosError::new(libc::EINVAL, operation, object);
        let (after, prefix) = op.omap.as_ref().map_or(("", ""), |range| (&range.after, &range.prefix));
        let texts = CString::new(after).and_then(|after| Ok((after, CString::new(prefix)?))).map_err(fault);
        let submitted = texts.map(|(after, prefix)| {
            // SAFETY: one aio call; the operation and its results are in the payload; names are copied.
            unsafe {
                self.submit(operation, object, Flight::new(&op), |Start { place, completion, object }| {
                    Flight::prepare(place, &op, &after, &prefix);
                    let raw = (*place).raw;
                    sys::rados_aio_read_op_operate(raw, io, completion, object.as_ptr(), op.flags.bits())
                })
            }
        });
        submitted.unwrap_or_else(Submitted::Failed).map(move |done| {
            let done = done?.check()?;
            Ok(done.payload.outcome(&op, done.version))
        })
    }

    /// All keys that start with `prefix`, with their values, all of one state of the object, which has every write that was sent
    /// before: if it changes between two pages, reading starts again. ENOENT; EAGAIN if it keeps changing.
    pub fn omap_all(
        &self,
        object: &str,
        prefix: &str,
    ) -> impl Future<Output = RadosResult<Vec<(Bytes, Bytes)>>> + Send + use<> {
        /// Keys of one page; an OSD returns 1024 at most.
        const PAGE: u64 = 1000;
        /// Restarts before giving up with EAGAIN.
        const RESTARTS: u32 = 32;

        let first = self.read_op(object, ReadOp::new().ordered().omap("", prefix, PAGE), "omap_get");
        let (io, object, prefix) = (self.clone(), object.to_owned(), prefix.to_owned());
        async move {
            let mut page = first.await?;
            let mut entries = std::mem::take(&mut page.omap.entries);
            let mut restarts = 0;
            while page.omap.more && !entries.is_empty() {
                let last = String::from_utf8_lossy(&entries[entries.len() - 1].0).into_owned();
                let op = ReadOp::new().ordered().assert_version(page.version).omap(&last, &prefix, PAGE);
                match io.read_op(&object, op, "omap_get").await {
                    Ok(next) => page = next,
                    Err(error) if matches!(error.errno, libc::ERANGE | libc::EOVERFLOW) => {
                        restarts += 1;
                        if restarts > RESTARTS {
                            return Err(RadosError::new(libc::EAGAIN, "omap_get", object));
                        }
                        entries.clear();
                        page = io.read_op(&object, ReadOp::new().ordered().omap("", &prefix, PAGE), "omap_get").await?;
                    }
                    Err(error) => return Err(error),
                }
                entries.append(&mut page.omap.entries);
            }
            Ok(entries)
        }
    }
}
