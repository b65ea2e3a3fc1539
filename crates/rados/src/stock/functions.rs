//! The functions of the stock library that a base needs.
//!
//! Owns: their prototypes, by librbd.h of Ceph 16. Does not own: what is done with them (`image.rs`).
use super::library::Library;
use nix::libc;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::{size_of, transmute_copy};

/// An image of the stock library.
pub(super) type RawImage = *mut c_void;
/// Called for each extent: offset, length, whether it exists, the caller's argument.
pub(super) type OnExtent = unsafe extern "C" fn(u64, usize, c_int, *mut c_void) -> c_int;

macro_rules! functions {
    ($($(#[$doc:meta])* $field:ident: $name:literal, $kind:ty;)*) => {
        #[derive(Clone, Copy, Debug)]
        pub(super) struct Functions {
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl Functions {
            /// The error names the function that is not there: the library is too old.
            pub fn of(library: &Library) -> Result<Self, String> {
                Ok(Self { $($field: {
                    const NAME: &CStr = $name;
                    const { assert!(size_of::<$kind>() == size_of::<*mut c_void>()) };
                    let found = library.address(NAME);
                    let address = found.ok_or_else(|| format!("it has no {}", NAME.to_string_lossy()))?.as_ptr();
                    // SAFETY: as large as a pointer, and the function has that prototype by the contract of librbd.h.
                    unsafe { transmute_copy::<*mut c_void, $kind>(&address) }
                },)* })
            }
        }
    };
}

functions! {
    open: c"rbd_open_read_only",
        unsafe extern "C" fn(*mut c_void, *const c_char, *mut RawImage, *const c_char) -> c_int;
    open_by_id: c"rbd_open_by_id_read_only",
        unsafe extern "C" fn(*mut c_void, *const c_char, *mut RawImage, *const c_char) -> c_int;
    close: c"rbd_close", unsafe extern "C" fn(RawImage) -> c_int;
    id: c"rbd_get_id", unsafe extern "C" fn(RawImage, *mut c_char, usize) -> c_int;
    size: c"rbd_get_size", unsafe extern "C" fn(RawImage, *mut u64) -> c_int;
    created: c"rbd_get_create_timestamp", unsafe extern "C" fn(RawImage, *mut libc::timespec) -> c_int;
    snap_id: c"rbd_snap_get_id", unsafe extern "C" fn(RawImage, *const c_char, *mut u64) -> c_int;
    is_protected: c"rbd_snap_is_protected", unsafe extern "C" fn(RawImage, *const c_char, *mut c_int) -> c_int;
    snap_set: c"rbd_snap_set_by_id", unsafe extern "C" fn(RawImage, u64) -> c_int;
    read: c"rbd_read", unsafe extern "C" fn(RawImage, u64, usize, *mut c_char) -> isize;
    /// Image, snapshot to compare with or null, offset, length, with the parent's, whole objects, callback, its argument.
    extents: c"rbd_diff_iterate2",
        unsafe extern "C" fn(RawImage, *const c_char, u64, u64, u8, u8, OnExtent, *mut c_void) -> c_int;
}
