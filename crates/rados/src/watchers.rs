//! Who watches an object. The C interface of librados has no such call, so this one goes through the C++ one.
use crate::error::{RadosResult, c_string, check};
use crate::ioctx::IoCtx;
use lsd_librados_sys as sys;
use lsd_store::Watcher;
use std::ffi::{CStr, c_char};

/// Bytes of an address as librados gives it, with the zero at its end.
const ADDRESS_BYTES: usize = 256;

/// The list that librados fills.
struct List(*mut sys::lsd_watchers);

impl List {
    fn new() -> Self {
        // SAFETY: it needs nothing, and never gives null.
        Self(unsafe { sys::lsd_watchers_new() })
    }

    fn take(&mut self) -> Option<Watcher> {
        let mut addr = [0 as c_char; ADDRESS_BYTES];
        let (mut client, mut cookie) = (0, 0);
        // SAFETY: a live list, and places of the sizes that are said.
        let found = unsafe { sys::lsd_watchers_take(self.0, addr.as_mut_ptr(), addr.len(), &mut client, &mut cookie) };
        // SAFETY: the callee ends the text with a zero inside the buffer, which was zeroes before.
        let addr = unsafe { CStr::from_ptr(addr.as_ptr()) };
        found.then(|| Watcher { addr: addr.to_string_lossy().into_owned(), client, cookie })
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: from `new`, and not used afterwards.
        unsafe { sys::lsd_watchers_free(self.0) };
    }
}

impl IoCtx {
    /// Who watches an object. ENOENT. Blocks.
    pub fn list_watchers(&self, object: &str) -> RadosResult<Vec<Watcher>> {
        let name = c_string(object, "list_watchers")?;
        let mut list = List::new();
        // SAFETY: a live list, a live io context, and a C string that lives through the call.
        check(unsafe { sys::lsd_watchers_read(list.0, self.raw(), name.as_ptr()) }, "list_watchers", object)?;
        Ok(std::iter::from_fn(|| list.take()).collect())
    }
}
