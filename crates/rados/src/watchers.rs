//! Who watches an object.
//!
//! The C interface of librados has no such call; only the C++ one has, `librados::IoCtx::list_watchers`. It is looked
//! up by its symbol in the loaded librados and called with the layouts of libstdc++. A librados without that symbol
//! (it has been the same since Ceph 14) gives EOPNOTSUPP.
use crate::error::{RadosError, RadosResult, check};
use crate::ioctx::IoCtx;
use lsd_librados_sys as sys;
use lsd_store::Watcher;
use nix::libc;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

/// `librados::v14_2_0::IoCtx::list_watchers(std::string const &, std::list<obj_watch_t> *)`
const SYMBOL: &str = concat!(
    "_ZN8librados7v14_2_05IoCtx13list_watchers",
    "ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
    "PNS2_4listI11obj_watch_tSaISB_EEE\0"
);

/// `operator delete(void *)`
const DELETE: &str = "_ZdlPv\0";

/// `librados::IoCtx`: its only member is the pointer that the C interface calls `rados_ioctx_t`.
#[repr(C)]
struct CppIoCtx(sys::rados_ioctx_t);

/// `std::string` of libstdc++; as an argument by constant reference only these two fields are read.
#[repr(C)]
struct CppString {
    data: *const c_char,
    len: usize,
    local: [u8; 16],
}

/// The head of a `std::list` of libstdc++, a ring through the head itself.
#[repr(C)]
struct CppList {
    next: *mut CppNode,
    previous: *mut CppNode,
    len: usize,
}

#[repr(C)]
struct CppNode {
    next: *mut CppNode,
    previous: *mut CppNode,
    watch: ObjWatch,
}

/// `obj_watch_t` of rados/rados_types.h.
#[repr(C)]
struct ObjWatch {
    addr: [c_char; 256],
    watcher_id: i64,
    cookie: u64,
    timeout_seconds: u32,
}

type ListWatchers = unsafe extern "C" fn(*mut CppIoCtx, *const CppString, *mut CppList) -> c_int;
type Delete = unsafe extern "C" fn(*mut c_void);

/// A function of a library that this one is linked with, by its name with a zero at the end.
fn symbol(name: &str) -> Option<*mut c_void> {
    let name = CStr::from_bytes_with_nul(name.as_bytes()).ok()?;
    // SAFETY: a C string; the search order is that of the process, which has loaded librados.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

impl IoCtx {
    /// Who watches an object. ENOENT. Blocks.
    pub fn list_watchers(&self, object: &str) -> RadosResult<Vec<Watcher>> {
        let unsupported = || RadosError::new(libc::EOPNOTSUPP, "list_watchers", object);
        let list_watchers = symbol(SYMBOL).ok_or_else(unsupported)?;
        let delete = symbol(DELETE).ok_or_else(unsupported)?;
        // SAFETY: the two symbols are functions of exactly these types on this platform's C++ ABI.
        let (list_watchers, delete) = unsafe {
            (
                std::mem::transmute::<*mut c_void, ListWatchers>(list_watchers),
                std::mem::transmute::<*mut c_void, Delete>(delete),
            )
        };
        let mut io = CppIoCtx(self.raw());
        let name = CppString { data: object.as_ptr().cast(), len: object.len(), local: [0; 16] };
        let mut list = CppList { next: ptr::null_mut(), previous: ptr::null_mut(), len: 0 };
        let head = &raw mut list;
        // SAFETY: an empty list is a ring of its head alone; the callee only appends to it. It does not throw: it
        // reports through its result, and would end the process only for want of memory.
        let (code, watchers) = unsafe {
            (*head).next = head.cast();
            (*head).previous = head.cast();
            let code = list_watchers(&mut io, &name, head);
            (code, take_all(head, delete))
        };
        check(code, "list_watchers", object)?;
        Ok(watchers)
    }
}

/// Empties the list.
///
/// # Safety
/// `head` is a valid list whose nodes were allocated by `operator new`.
unsafe fn take_all(head: *mut CppList, delete: Delete) -> Vec<Watcher> {
    let mut watchers = Vec::new();
    // SAFETY: every node of the ring is valid, by the contract, until it is deleted, after its last use.
    unsafe {
        let mut node = (*head).next;
        while node.cast::<CppList>() != head {
            let watch = &raw const (*node).watch;
            // The address is cut to 256 bytes with a zero at the end.
            let addr = CStr::from_ptr((&raw const (*watch).addr).cast()).to_string_lossy().into_owned();
            watchers.push(Watcher { addr, client: (*watch).watcher_id.cast_unsigned(), cookie: (*watch).cookie });
            let next = (*node).next;
            delete(node.cast());
            node = next;
        }
    }
    watchers
}
