//! Operations on single objects that need no compound operation, and the walk over a pool.
use super::{IoCtx, object_name};
use crate::completion::{Done, Start, Submitted};
use crate::error::{RadosError, RadosResult, check};
use crate::read_data::ReadData;
use bytes::Bytes;
use futures::FutureExt;
use lsd_librados_sys as sys;
use nix::libc;
use std::ffi::c_char;
use std::ptr;

/// Longest extended attribute that is read in one go, bytes; a longer one gives ERANGE.
const XATTR_BYTES: usize = 64 << 10;

/// Longest answer of an object class method, bytes; a longer one gives ERANGE.
const EXEC_BYTES: usize = 1 << 20;

/// A buffer that came back less than 1/SHRINK_BELOW full gives its rest back.
const SHRINK_BELOW: usize = 4;

/// Size and time of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectStat {
    /// Bytes.
    pub size: u64,
    /// Seconds since the epoch.
    pub modified_at: i64,
}

/// The first `len` bytes that librados wrote into a buffer.
fn filled(mut buffer: Vec<u8>, len: i32) -> Bytes {
    let len = usize::try_from(len).unwrap_or_default().min(buffer.capacity());
    // SAFETY: within the capacity, and librados wrote that many bytes: it reports how many it copied.
    unsafe { buffer.set_len(len) };
    if len < buffer.capacity() / SHRINK_BELOW {
        buffer.shrink_to_fit();
    }
    buffer.into()
}

fn all_filled(done: RadosResult<Done<Vec<u8>>>) -> RadosResult<Bytes> {
    let done = done?.check()?;
    Ok(filled(done.payload, done.code))
}

impl IoCtx {
    /// Reads up to `len` bytes from `offset`: shorter at the end of the object, empty beyond it. ENOENT; EINVAL from
    /// 2 GiB on.
    pub fn read(&self, object: &str, offset: u64, len: u64) -> impl Future<Output = RadosResult<Bytes>> + Send + use<> {
        let io = self.raw();
        // librados counts the bytes of a read in an int.
        let submitted = match i32::try_from(len) {
            // SAFETY: one aio call, live objects; the payload stays until the callback.
            Ok(len) => unsafe {
                self.submit("read", object, ReadData::new(), |Start { place, completion, object }| {
                    ReadData::read(place, io, completion, object, len as usize, offset)
                })
            },
            Err(_) => Submitted::Failed(RadosError::new(libc::EINVAL, "read", object)),
        };
        submitted.map(|done| Ok(done?.check()?.payload.into_bytes()))
    }

    /// Size and time of an object. ENOENT.
    pub fn stat(&self, object: &str) -> impl Future<Output = RadosResult<ObjectStat>> + Send + use<> {
        let io = self.raw();
        // SAFETY: one aio call; both results are in the payload; the name is copied.
        let submitted = unsafe {
            self.submit("stat", object, (0u64, 0 as sys::time_t), |Start { place, completion, object }| {
                let (size, time) = (&raw mut (*place).0, &raw mut (*place).1);
                sys::rados_aio_stat(io, object.as_ptr(), completion, size, time)
            })
        };
        submitted.map(|done| {
            let (size, modified_at) = done?.check()?.payload;
            Ok(ObjectStat { size, modified_at })
        })
    }

    /// An extended attribute, up to 64 KiB. ENOENT: no object; ENODATA: no such attribute.
    pub fn get_xattr(&self, object: &str, attribute: &str) -> impl Future<Output = RadosResult<Bytes>> + Send + use<> {
        let io = self.raw();
        let submitted = object_name(attribute, "getxattr").map(|attribute| {
            let buffer = Vec::<u8>::with_capacity(XATTR_BYTES);
            // SAFETY: one aio call; the buffer is in the payload and has that much room; the names are copied.
            unsafe {
                self.submit("getxattr", object, buffer, |Start { place, completion, object }| {
                    let data = (*place).as_mut_ptr().cast();
                    sys::rados_aio_getxattr(io, object.as_ptr(), completion, attribute.as_ptr(), data, XATTR_BYTES)
                })
            }
        });
        submitted.unwrap_or_else(Submitted::Failed).map(all_filled)
    }

    /// Calls a method of an object class and returns its answer, up to 1 MiB. A method that writes answers nothing;
    /// call it in a `WriteOp` to have flags.
    pub fn exec(
        &self,
        object: &str,
        class: &str,
        method: &str,
        input: &[u8],
    ) -> impl Future<Output = RadosResult<Bytes>> + Send + use<> {
        let io = self.raw();
        let names = object_name(class, "exec").and_then(|class| Ok((class, object_name(method, "exec")?)));
        let submitted = names.map(|(class, method)| {
            let buffer = Vec::<u8>::with_capacity(EXEC_BYTES);
            // SAFETY: one aio call; the buffer is in the payload and has that much room; names and input are copied.
            unsafe {
                self.submit("exec", object, buffer, |Start { place, completion, object }| {
                    let data: *mut c_char = (*place).as_mut_ptr().cast();
                    let (input, len) = (input.as_ptr().cast(), input.len());
                    let (class, method) = (class.as_ptr(), method.as_ptr());
                    sys::rados_aio_exec(io, object.as_ptr(), completion, class, method, input, len, data, EXEC_BYTES)
                })
            }
        });
        submitted.unwrap_or_else(Submitted::Failed).map(all_filled)
    }

    /// The names of all objects of the pool and namespace that start with `prefix`, in no order. Walks over the whole
    /// pool. Names that are not UTF-8 are left out. Blocks.
    pub fn list_objects(&self, prefix: &str) -> RadosResult<Vec<String>> {
        let mut list = ptr::null_mut();
        // SAFETY: a live context and a place for the result.
        check(unsafe { sys::rados_nobjects_list_open(self.raw(), &mut list) }, "list", prefix)?;
        let names = Self::walk(list, prefix);
        // SAFETY: opened above, closed once.
        unsafe { sys::rados_nobjects_list_close(list) };
        names
    }

    fn walk(list: sys::rados_list_ctx_t, prefix: &str) -> RadosResult<Vec<String>> {
        let mut names = Vec::new();
        loop {
            let (mut entry, mut len) = (ptr::null(), 0);
            // SAFETY: an open list; the results that are not wanted may be null.
            let code = unsafe {
                let nothing = ptr::null_mut();
                let none = ptr::null_mut();
                sys::rados_nobjects_list_next2(list, &mut entry, nothing, nothing, &mut len, none, none)
            };
            if code == -libc::ENOENT {
                return Ok(names);
            }
            check(code, "list", prefix)?;
            // SAFETY: `len` bytes that stay until the next call on the list.
            let name = unsafe { std::slice::from_raw_parts(entry.cast::<u8>(), len) };
            if let Ok(name) = std::str::from_utf8(name)
                && name.starts_with(prefix)
            {
                names.push(name.to_owned());
            }
        }
    }
}
