//! Compound write operations: several guards and changes of one object, all or nothing.
//!
//! Owns: the `rados_write_op_t`. librados empties it when it is operated, so operating consumes it. Every step copies
//! what it is given. A step that cannot be expressed (a name with a NUL inside) makes the whole operation fail with
//! EINVAL when it is operated; nothing is sent. Does not own: appends (`append_op`), which are submitted here too.
use crate::completion::{Start, Submitted};
use crate::error::{RadosError, RadosResult, c_string};
use crate::ioctx::IoCtx;
use futures::FutureExt;
use lsd_librados_sys as sys;
use nix::libc;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

/// How a guard compares: the value given with the step on the left, the object's value on the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Compare {
    pub(crate) fn code(self) -> u8 {
        let code = match self {
            Self::Equal => sys::LIBRADOS_CMPXATTR_OP_EQ,
            Self::NotEqual => sys::LIBRADOS_CMPXATTR_OP_NE,
            Self::Greater => sys::LIBRADOS_CMPXATTR_OP_GT,
            Self::GreaterOrEqual => sys::LIBRADOS_CMPXATTR_OP_GTE,
            Self::Less => sys::LIBRADOS_CMPXATTR_OP_LT,
            Self::LessOrEqual => sys::LIBRADOS_CMPXATTR_OP_LTE,
        };
        // The constants are 1 to 6.
        (code & 0xff) as u8
    }
}

/// Flags of a whole operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpFlags(c_int);

impl OpFlags {
    pub const NONE: Self = Self(0);
    /// In a full pool: fail with ENOSPC or EDQUOT at once, instead of waiting for space, unless the operation frees
    /// space or needs none.
    pub const FULL_TRY: Self = Self(sys::LIBRADOS_OPERATION_FULL_TRY as c_int);
    /// In a full pool: do it nevertheless.
    pub const FULL_FORCE: Self = Self(sys::LIBRADOS_OPERATION_FULL_FORCE as c_int);

    /// A read that takes its place behind the writes which were sent before it. Without it an OSD that holds a write back, because its
    /// object is being scrubbed or recovered, serves a later read at once.
    pub const ORDERED_READ: Self = Self(sys::LIBRADOS_OPERATION_ORDER_READS_WRITES as c_int);

    pub(crate) fn bits(self) -> c_int {
        self.0
    }
}

/// A compound write operation.
#[derive(Debug)]
pub struct WriteOp {
    raw: sys::rados_write_op_t,
    fault: Option<RadosError>,
}

// SAFETY: a plain object of librados, used by one thread at a time.
unsafe impl Send for WriteOp {}

impl Drop for WriteOp {
    fn drop(&mut self) {
        // SAFETY: created in `new`, released once.
        unsafe { sys::rados_release_write_op(self.raw) }
    }
}

impl Default for WriteOp {
    fn default() -> Self {
        Self::new()
    }
}

impl WriteOp {
    pub fn new() -> Self {
        // SAFETY: no arguments. It allocates as C++ does, which ends the process when there is no memory.
        Self { raw: unsafe { sys::rados_create_write_op() }, fault: None }
    }

    /// Adds a step that takes one name.
    fn named(mut self, step: &'static str, name: &str, add: impl FnOnce(sys::rados_write_op_t, &CString)) -> Self {
        match c_string(name, step) {
            Ok(name) => add(self.raw, &name),
            Err(error) => self.fault = Some(self.fault.take().unwrap_or(error)),
        }
        self
    }

    /// The object must exist: else ENOENT.
    #[must_use]
    pub fn assert_exists(self) -> Self {
        // SAFETY: a live operation.
        unsafe { sys::rados_write_op_assert_exists(self.raw) };
        self
    }

    /// The object must have this version: ERANGE if it is newer, EOVERFLOW if it is older.
    #[must_use]
    pub fn assert_version(self, version: u64) -> Self {
        // SAFETY: a live operation.
        unsafe { sys::rados_write_op_assert_version(self.raw, version) };
        self
    }

    /// An extended attribute must compare so, else ECANCELED; a missing one is empty, a missing object ENOENT.
    #[must_use]
    pub fn compare_xattr(self, attribute: &str, compare: Compare, value: &[u8]) -> Self {
        self.named("cmpxattr", attribute, |raw, name| {
            let (data, len) = (value.as_ptr().cast(), value.len());
            // SAFETY: a live operation; name and value are copied.
            unsafe { sys::rados_write_op_cmpxattr(raw, name.as_ptr(), compare.code(), data, len) }
        })
    }

    /// The value of a key must compare so, else ECANCELED; a missing one is empty, a missing object ENOENT.
    #[must_use]
    pub fn compare_omap(self, key: &[u8], compare: Compare, value: &[u8]) -> Self {
        let (key, key_len) = (key.as_ptr().cast(), key.len());
        let (data, len) = (value.as_ptr().cast(), value.len());
        // SAFETY: a live operation; key and value are copied; the result of the single step is not wanted.
        unsafe {
            sys::rados_write_op_omap_cmp2(self.raw, key, compare.code(), data, key_len, len, ptr::null_mut());
        }
        self
    }

    /// Creates the object; exclusively: EEXIST if it is there.
    #[must_use]
    pub fn create(self, exclusive: bool) -> Self {
        let mode = if exclusive { sys::LIBRADOS_CREATE_EXCLUSIVE } else { sys::LIBRADOS_CREATE_IDEMPOTENT };
        // SAFETY: a live operation; the category is a thing of the past and may be null.
        unsafe { sys::rados_write_op_create(self.raw, mode, ptr::null()) };
        self
    }

    /// Replaces the object's data.
    #[must_use]
    pub fn write_full(self, data: &[u8]) -> Self {
        // SAFETY: a live operation; the data is copied.
        unsafe { sys::rados_write_op_write_full(self.raw, data.as_ptr().cast(), data.len()) };
        self
    }

    /// Removes the object. ENOENT.
    #[must_use]
    pub fn remove(self) -> Self {
        // SAFETY: a live operation.
        unsafe { sys::rados_write_op_remove(self.raw) };
        self
    }

    #[must_use]
    pub fn set_xattr(self, attribute: &str, value: &[u8]) -> Self {
        self.named("setxattr", attribute, |raw, name| {
            let (data, len) = (value.as_ptr().cast(), value.len());
            // SAFETY: a live operation; name and value are copied.
            unsafe { sys::rados_write_op_setxattr(raw, name.as_ptr(), data, len) }
        })
    }

    /// Sets keys to values. EOPNOTSUPP in an erasure-coded pool.
    #[must_use]
    pub fn set_omap<'a>(self, pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let (keys, values): (Vec<&[u8]>, Vec<&[u8]>) = pairs.into_iter().unzip();
        if keys.is_empty() {
            return self;
        }
        let (key_data, key_lens) = parts(&keys);
        let (value_data, value_lens) = parts(&values);
        // SAFETY: four arrays of as many elements as there are pairs; everything is copied.
        unsafe {
            sys::rados_write_op_omap_set2(
                self.raw,
                key_data.as_ptr(),
                value_data.as_ptr(),
                key_lens.as_ptr(),
                value_lens.as_ptr(),
                keys.len(),
            );
        }
        self
    }

    /// Removes keys; absent ones do not matter. EOPNOTSUPP in an erasure-coded pool.
    #[must_use]
    pub fn remove_omap<'a>(self, keys: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let keys: Vec<&[u8]> = keys.into_iter().collect();
        if keys.is_empty() {
            return self;
        }
        let (data, lens) = parts(&keys);
        // SAFETY: two arrays of as many elements as there are keys; everything is copied.
        unsafe { sys::rados_write_op_omap_rm_keys2(self.raw, data.as_ptr(), lens.as_ptr(), keys.len()) };
        self
    }

    /// Calls a method of an object class.
    #[must_use]
    pub fn exec(self, class: &str, method: &str, input: &[u8]) -> Self {
        self.named("exec", class, |raw, class| {
            // A method whose name cannot be a C string is not found by the empty one either (EOPNOTSUPP).
            let method = CString::new(method).unwrap_or_default();
            let (data, len) = (input.as_ptr().cast(), input.len());
            // SAFETY: a live operation; everything is copied; the result of the single step is not wanted.
            unsafe { sys::rados_write_op_exec(raw, class.as_ptr(), method.as_ptr(), data, len, ptr::null_mut()) }
        })
    }
}

/// Where each slice is and how long it is, as the functions for keys want them.
fn parts(slices: &[&[u8]]) -> (Vec<*const c_char>, Vec<usize>) {
    slices.iter().map(|slice| (slice.as_ptr().cast(), slice.len())).unzip()
}

/// What [`IoCtx::write`] submits.
pub trait Operation: Send + 'static {
    /// Why it cannot be submitted.
    fn take_fault(&mut self) -> Option<RadosError>;

    /// Hands it to librados.
    ///
    /// # Safety
    /// `place` is a live operation that stays until the target's completion has called back, unless the result is negative. It was
    /// not operated before.
    unsafe fn operate(place: *mut Self, target: &Target<'_>) -> c_int;
}

/// What an operation is submitted to; live handles.
pub struct Target<'a> {
    pub(crate) io: sys::rados_ioctx_t,
    pub(crate) completion: sys::rados_completion_t,
    pub(crate) object: &'a CStr,
    pub(crate) flags: OpFlags,
}

impl Operation for WriteOp {
    fn take_fault(&mut self) -> Option<RadosError> {
        self.fault.take()
    }

    unsafe fn operate(place: *mut Self, &Target { io, completion, object, flags }: &Target<'_>) -> c_int {
        // SAFETY: live objects by the contract; the name is copied; no time of ours.
        unsafe {
            let raw = (*place).raw;
            sys::rados_aio_write_op_operate(raw, io, completion, object.as_ptr(), ptr::null_mut(), flags.bits())
        }
    }
}

impl IoCtx {
    /// Submits a compound write operation. Returns the object's new version.
    pub fn write<O: Operation>(
        &self,
        object: &str,
        mut op: O,
        flags: OpFlags,
        operation: &'static str,
    ) -> impl Future<Output = RadosResult<u64>> + Send + use<O> {
        let io = self.raw();
        let submitted = match op.take_fault() {
            Some(fault) => Submitted::Failed(RadosError { errno: libc::EINVAL, ..fault }),
            // SAFETY: one aio call; the operation is in the payload.
            None => unsafe {
                self.submit(operation, object, op, |Start { place, completion, object }| {
                    O::operate(place, &Target { io, completion, object, flags })
                })
            },
        };
        submitted.map(|done| Ok(done?.check()?.version))
    }
}
