//! Opening an image of either kind by its name or id, and closing it.
//!
//! Owns: the order: lsd's first, and what is not there is looked for among the stock images. Does not own: how either is opened.
use crate::api;
use crate::api::open::{By, Request};
use crate::face::names;
use crate::ffi::caller::put;
use crate::ffi::ctypes::{rados_ioctx_t, rbd_completion_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::completion::arm;
use crate::handles::done::Done;
use crate::handles::pool::Pool;
use crate::runtime::process::{Core, core};
use crate::stock::bridge::submit;
use crate::stock::context::Context;
use crate::stock::functions;
use crate::stock::images::{StockImage, find, take};
use futures::FutureExt;
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::AssertUnwindSafe;
use std::ptr;

/// The stock library's function.
type Open = unsafe extern "C" fn(rados_ioctx_t, *const c_char, *mut rbd_image_t, *const c_char) -> c_int;

/// Opens a stock image, if there is one and a library for it; else ENOENT.
///
/// # Safety
/// A live io context and strings, `snap_name` may be null.
unsafe fn open_stock(
    io: rados_ioctx_t,
    which: &CStr,
    snap_name: *const c_char,
    by: By,
    open: Open,
) -> Outcome<rbd_image_t> {
    let text = which.to_str().map_err(|_| Errno::EINVAL)?;
    // SAFETY: a live io context by the contract.
    let pool = unsafe { Pool::adopt(io) }?;
    let is_stock = match by {
        By::Name => names::is_stock(&pool, text)?,
        By::Id => names::is_stock_id(&pool, text)?,
    };
    drop(pool);
    if !is_stock {
        return Err(Errno::ENOENT);
    }
    let mut raw = ptr::null_mut();
    // SAFETY: the same contract, and a place for the image.
    let code = unsafe { open(io, which.as_ptr(), &mut raw, snap_name) };
    if code < 0 {
        return Err(Errno(-code));
    }
    match StockImage::register(raw) {
        Ok(opened) => Ok(opened.handle()),
        Err(errno) => {
            // SAFETY: just opened, and nobody else has it.
            unsafe { functions::rbd_close(raw) };
            Err(errno)
        }
    }
}

/// # Safety
/// The contract of rbd_open.
unsafe fn open(
    io: rados_ioctx_t,
    which: *const c_char,
    image: *mut rbd_image_t,
    snap_name: *const c_char,
    (by, read_only): (By, bool),
    stock: Open,
) -> c_int {
    guard(|| {
        if image.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the same contract.
        let request = unsafe { Request::new(io, which, snap_name, by, read_only) }?;
        let handle = match core()?.block_on(request.run()) {
            Ok(opened) => opened.handle(),
            // SAFETY: the same contract; the request has found the name not null.
            Err(Errno::ENOENT) => unsafe { open_stock(io, CStr::from_ptr(which), snap_name, by, stock) }?,
            Err(errno) => return Err(errno),
        };
        // SAFETY: not null, and the caller's to be written.
        unsafe { put(image, handle) }
    })
}

/// The caller's `rbd_image_t` of an open that is under way.
struct Place(*mut rbd_image_t);

// SAFETY: the caller leaves the place to the operation until it is complete.
unsafe impl Send for Place {}

impl Place {
    /// What the completion gets.
    fn take(self, opened: Outcome<Handle>) -> i64 {
        match opened {
            Ok(handle) => {
                // SAFETY: `aio_open` checked for null; valid until the operation is complete.
                unsafe { self.0.write(handle.0) };
                0
            }
            Err(errno) => -i64::from(errno.0),
        }
    }
}

/// A handle that was just made.
struct Handle(rbd_image_t);

// SAFETY: a number, which is looked up.
unsafe impl Send for Handle {}

/// What the stock half of an asynchronous open needs: the caller may take its own away at once.
struct Later {
    context: Context,
    which: CString,
    snap_name: Option<CString>,
    by: By,
    stock: Open,
}

impl Later {
    /// # Safety
    /// The contract of rbd_aio_open; `which` is not null.
    unsafe fn new(io: rados_ioctx_t, which: *const c_char, snap: *const c_char, by: By, stock: Open) -> Outcome<Self> {
        // SAFETY: the same contract.
        let (context, which) = unsafe { (Context::like(io)?, CStr::from_ptr(which).to_owned()) };
        // SAFETY: a string if it is not null.
        let snap_name = (!snap.is_null()).then(|| unsafe { CStr::from_ptr(snap) }.to_owned());
        Ok(Self { context, which, snap_name, by, stock })
    }

    fn open(self) -> Outcome<Handle> {
        let snap_name = self.snap_name.as_ref().map_or(ptr::null(), |name| name.as_ptr());
        // SAFETY: a context and strings of our own; the cluster handle is the caller's until the operation is complete.
        unsafe { open_stock(self.context.raw(), &self.which, snap_name, self.by, self.stock) }.map(Handle)
    }
}

async fn open_either(request: Request, later: Later) -> Outcome<Handle> {
    match request.run().await {
        Ok(opened) => Ok(Handle(opened.handle())),
        // The stock library waits where it opens, so that is for a thread that may.
        Err(Errno::ENOENT) => tokio::task::spawn_blocking(move || later.open()).await.unwrap_or(Err(Errno::EIO)),
        Err(errno) => Err(errno),
    }
}

/// # Safety
/// The contract of rbd_aio_open.
unsafe fn aio_open(
    io: rados_ioctx_t,
    which: *const c_char,
    image: *mut rbd_image_t,
    snap_name: *const c_char,
    c: rbd_completion_t,
    (by, read_only): (By, bool),
    stock: Open,
) -> c_int {
    guard(|| {
        if image.is_null() {
            return Err(Errno::EINVAL);
        }
        // SAFETY: the same contract.
        let request = unsafe { Request::new(io, which, snap_name, by, read_only) }?;
        // SAFETY: the same contract; the request has found the name not null.
        let later = unsafe { Later::new(io, which, snap_name, by, stock) }?;
        let (core, place): (&'static Core, _) = (core()?, Place(image));
        let completion = arm(c)?;
        core.handle().spawn(async move {
            let opened = AssertUnwindSafe(open_either(request, later)).catch_unwind().await.unwrap_or(Err(Errno::EIO));
            Done { completion, image: None, result: place.take(opened) }.send(core);
        });
        Ok(0)
    })
}

macro_rules! open_entries {
    ($($sync:ident $async:ident $by:expr, $read_only:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $sync(
            io: rados_ioctx_t,
            which: *const c_char,
            image: *mut rbd_image_t,
            snap_name: *const c_char,
        ) -> c_int {
            // SAFETY: the same contract.
            unsafe { open(io, which, image, snap_name, ($by, $read_only), functions::$sync) }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $async(
            io: rados_ioctx_t,
            which: *const c_char,
            image: *mut rbd_image_t,
            snap_name: *const c_char,
            c: rbd_completion_t,
        ) -> c_int {
            // SAFETY: the same contract.
            unsafe { aio_open(io, which, image, snap_name, c, ($by, $read_only), functions::$sync) }
        }
    )*};
}

open_entries! {
    rbd_open rbd_aio_open By::Name, false;
    rbd_open_by_id rbd_aio_open_by_id By::Id, false;
    rbd_open_read_only rbd_aio_open_read_only By::Name, true;
    rbd_open_by_id_read_only rbd_aio_open_by_id_read_only By::Id, true;
}

/// The handle is gone afterwards, also after an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_close(image: rbd_image_t) -> c_int {
    match take(image) {
        // SAFETY: the same contract.
        None => unsafe { api::open::rbd_close(image) },
        // SAFETY: open, and nobody gets it by its handle any more.
        Some(Ok(stock)) => unsafe { functions::rbd_close(stock.raw()) },
        Some(Err(errno)) => -errno.0,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_aio_close(image: rbd_image_t, c: rbd_completion_t) -> c_int {
    if find(image).is_none() {
        // SAFETY: the same contract.
        return unsafe { api::open::rbd_aio_close(image, c) };
    }
    guard(|| {
        // A completion that cannot take the operation leaves the image open.
        submit(c, None, |c| {
            let stock = take(image).unwrap_or(Err(Errno::EBADF))?;
            // SAFETY: open, and nobody gets it by its handle any more.
            Ok(unsafe { functions::rbd_aio_close(stock.raw(), c) })
        })
    })
}
