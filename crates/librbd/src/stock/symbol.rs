//! One function of the stock library.
//!
//! Owns: looking it up, once. Does not own: what it takes and gives, which its type says.
use crate::ffi::errno::{Errno, Outcome};
use lsd_rados::stock::loaded;
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::mem::{align_of, size_of, transmute_copy};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// `F`: a pointer to a C function with the prototype of `librbd.h`.
pub struct Symbol<F> {
    /// With its terminating zero.
    name: &'static str,
    address: AtomicPtr<c_void>,
    kind: PhantomData<F>,
}

impl<F: Copy> Symbol<F> {
    /// `name`: with a terminating zero.
    pub const fn new(name: &'static str) -> Self {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>() && align_of::<F>() == align_of::<*mut c_void>()) };
        Self { name, address: AtomicPtr::new(ptr::null_mut()), kind: PhantomData }
    }

    /// The function. EOPNOTSUPP: the library is older than it, or there is no library.
    #[inline]
    pub fn get(&self) -> Outcome<F> {
        let known = self.address.load(Ordering::Acquire);
        let address = if known.is_null() { self.look_up()? } else { known };
        // SAFETY: `F` is as large as a pointer, and the function has that prototype by the contract of librbd.h.
        Ok(unsafe { transmute_copy(&address) })
    }

    #[cold]
    fn look_up(&self) -> Outcome<*mut c_void> {
        let name = CStr::from_bytes_with_nul(self.name.as_bytes()).map_err(|_| Errno::EINVAL)?;
        let found = loaded().and_then(|library| library.address(name)).ok_or(Errno::EOPNOTSUPP)?;
        self.address.store(found.as_ptr(), Ordering::Release);
        Ok(found.as_ptr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_library_no_function_is_supported() {
        static VERSION: Symbol<unsafe extern "C" fn()> = Symbol::new("rbd_version\0");
        assert_eq!(VERSION.get().unwrap_err(), Errno::EOPNOTSUPP);
    }
}
