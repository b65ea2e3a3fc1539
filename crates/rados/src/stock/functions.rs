//! The functions of the stock library that a base needs, or a migration from a stock image.
//!
//! Owns: their prototypes, by librbd.h of Ceph 16. Does not own: what is done with them (`image.rs`).
use super::library::Library;
use crate::error::{RadosError, RadosResult};
use nix::libc;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::{size_of, transmute_copy};

/// An image of the stock library.
pub(super) type RawImage = *mut c_void;
/// Context, name or id, the image, the snapshot that it shows or null.
pub(super) type Open = unsafe extern "C" fn(*mut c_void, *const c_char, *mut RawImage, *const c_char) -> c_int;

/// `rbd_image_info_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct RawInfo {
    pub size: u64,
    pub object_bytes: u64,
    pub objects: u64,
    pub order: c_int,
    block_name_prefix: [c_char; 24],
    parent_pool: i64,
    parent_name: [c_char; 96],
}

impl RawInfo {
    pub const EMPTY: Self = Self {
        size: 0,
        object_bytes: 0,
        objects: 0,
        order: 0,
        block_name_prefix: [0; 24],
        parent_pool: 0,
        parent_name: [0; 96],
    };
}

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

impl Functions {
    /// EOPNOTSUPP: the library lacks a function.
    pub fn of_library(library: &Library) -> RadosResult<Self> {
        let lacks = |why| RadosError::new(libc::EOPNOTSUPP, "open", format!("{}: {why}", library.path().display()));
        Self::of(library).map_err(lacks)
    }
}

functions! {
    open: c"rbd_open_read_only", Open;
    open_by_id: c"rbd_open_by_id_read_only", Open;
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
    open_to_write: c"rbd_open_by_id", Open;
    features: c"rbd_get_features", unsafe extern "C" fn(RawImage, *mut u64) -> c_int;
    op_features: c"rbd_get_op_features", unsafe extern "C" fn(RawImage, *mut u64) -> c_int;
    stat: c"rbd_stat", unsafe extern "C" fn(RawImage, *mut RawInfo, usize) -> c_int;
    /// With room for none it says how many there are, and one.
    snap_list: c"rbd_snap_list", unsafe extern "C" fn(RawImage, *mut c_void, *mut c_int) -> c_int;
    snap_create: c"rbd_snap_create", unsafe extern "C" fn(RawImage, *const c_char) -> c_int;
    snap_protect: c"rbd_snap_protect", unsafe extern "C" fn(RawImage, *const c_char) -> c_int;
    snap_unprotect: c"rbd_snap_unprotect", unsafe extern "C" fn(RawImage, *const c_char) -> c_int;
    snap_remove: c"rbd_snap_remove", unsafe extern "C" fn(RawImage, *const c_char) -> c_int;
    /// Image, and 0: nobody else gets the lock as long as the image is open.
    lock: c"rbd_lock_acquire", unsafe extern "C" fn(RawImage, c_int) -> c_int;
    write: c"rbd_write", unsafe extern "C" fn(RawImage, u64, usize, *const c_char) -> isize;
    zero: c"rbd_write_zeroes", unsafe extern "C" fn(RawImage, u64, usize, c_int, c_int) -> isize;
    resize: c"rbd_resize", unsafe extern "C" fn(RawImage, u64) -> c_int;
    flush: c"rbd_flush", unsafe extern "C" fn(RawImage) -> c_int;
    metadata_set: c"rbd_metadata_set", unsafe extern "C" fn(RawImage, *const c_char, *const c_char) -> c_int;
    metadata_remove: c"rbd_metadata_remove", unsafe extern "C" fn(RawImage, *const c_char) -> c_int;
    /// Image, key to begin behind, how many (0: all), keys and their bytes, values and their bytes.
    metadata_list: c"rbd_metadata_list",
        unsafe extern "C" fn(RawImage, *const c_char, u64, *mut c_char, *mut usize, *mut c_char, *mut usize) -> c_int;
    /// Name, and seconds in which it is removed only by force.
    trash_move: c"rbd_trash_move", unsafe extern "C" fn(*mut c_void, *const c_char, u64) -> c_int;
    trash_restore: c"rbd_trash_restore", unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> c_int;
    trash_remove: c"rbd_trash_remove", unsafe extern "C" fn(*mut c_void, *const c_char, bool) -> c_int;
}
