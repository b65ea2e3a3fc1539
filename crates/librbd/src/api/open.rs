//! Opening and closing images.
use crate::ffi::caller::{optional_string, string};
use crate::ffi::ctypes::{rados_ioctx_t, rbd_completion_t, rbd_image_t};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use crate::handles::completion::arm;
use crate::handles::done::Done;
use crate::handles::image::{OpenImage, close, take_handle};
use crate::handles::layout::Layout;
use crate::handles::pool::Pool;
use crate::handles::slab::Ref;
use crate::handles::view::View;
use crate::runtime::process::core;
use futures::FutureExt;
use lsd_engine::{ImageId, ImageRef, SnapRef, client_config};
use std::ffi::{c_char, c_int};
use std::panic::AssertUnwindSafe;

/// What to open, taken from the arguments in the caller's call.
pub struct Request {
    pool: Pool,
    image: ImageRef,
    snapshot: Option<String>,
    read_only: bool,
}

/// What an image is called by.
#[derive(Clone, Copy)]
pub enum By {
    Name,
    Id,
}

impl Request {
    /// # Safety
    /// The contract of rbd_open.
    pub unsafe fn new(
        io: rados_ioctx_t,
        which: *const c_char,
        snap_name: *const c_char,
        by: By,
        read_only: bool,
    ) -> Outcome<Self> {
        // SAFETY: the same contract.
        let (which, snapshot, pool) = unsafe { (string(which)?, optional_string(snap_name)?, Pool::adopt(io)?) };
        let image = match by {
            By::Name => ImageRef::Name(which),
            By::Id => ImageRef::Id(ImageId(which)),
        };
        Ok(Self { pool, image, snapshot, read_only })
    }

    /// ENOENT: no such image or snapshot.
    pub async fn run(self) -> Outcome<Ref<OpenImage>> {
        let end = self.pool.end();
        let opened = self.attempt().await;
        if opened.is_err() {
            end.reached().await;
        }
        opened
    }

    async fn attempt(self) -> Outcome<Ref<OpenImage>> {
        let core = core()?;
        let options = self.pool.open_options(self.read_only)?;
        let view = View::open(&self.pool.store, &self.image, options, self.snapshot.map(SnapRef::Name)).await?;
        let info = view.head().info();
        let config = client_config(&|key| self.pool.setting(key));
        for fault in view.head().option_faults() {
            crate::ffi::log::line(&format_args!("{}: {fault}", info.name));
        }
        let read_only = self.read_only;
        tracing::debug!(target: "lsd::api", image = %info.name, op = "open", read_only, "a client opened it");
        OpenImage::register(view, core, Layout::of(&info), config, self.pool.end())
    }
}

/// Waits for operations in flight, flushes and closes. The handle is gone afterwards, also after an error.
pub unsafe extern "C" fn rbd_close(image: rbd_image_t) -> c_int {
    guard(|| {
        let image = take_handle(image)?;
        let core = image.core;
        core.block_on(close(image, core.deliverer.is_current()))?;
        Ok(0)
    })
}

pub unsafe extern "C" fn rbd_aio_close(image: rbd_image_t, c: rbd_completion_t) -> c_int {
    guard(|| {
        let completion = arm(c)?;
        let image = take_handle(image).inspect_err(|_| completion.disarm())?;
        let core = image.core;
        core.handle().spawn(async move {
            let closed = AssertUnwindSafe(close(image, false)).catch_unwind().await.unwrap_or(Err(Errno::EIO));
            let result = closed.err().map_or(0, |errno| -i64::from(errno.0));
            Done { completion, image: None, result }.send(core);
        });
        Ok(0)
    })
}
