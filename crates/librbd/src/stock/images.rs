//! Handles of stock images.
//!
//! Owns: which handle is one, and the stock library's own pointer behind it, which nobody outside sees. Does not own: what is
//! done with it.
use crate::ffi::ctypes::rbd_image_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::events::EventSocket;
use crate::handles::slab::{Handled, Ref, Slab};
use std::sync::OnceLock;

/// A stock image that is open.
pub struct StockImage {
    raw: rbd_image_t,
    events: OnceLock<EventSocket>,
}

// SAFETY: librbd's images may be used from any thread.
unsafe impl Send for StockImage {}
// SAFETY: as above, also from several at once.
unsafe impl Sync for StockImage {}

static IMAGES: Slab<StockImage> = Slab::new();

impl Handled for StockImage {
    const TAG: u64 = 0xb;
    fn slab() -> &'static Slab<Self> {
        &IMAGES
    }
}

/// The stock image of a handle; `None`: a handle of another kind. EBADF: one that is closed.
#[inline]
pub fn find(handle: rbd_image_t) -> Option<Outcome<Ref<StockImage>>> {
    Slab::<StockImage>::is_kind(handle).then(|| IMAGES.get(handle))
}

/// The same, taking the handle away from its caller.
pub fn take(handle: rbd_image_t) -> Option<Outcome<Ref<StockImage>>> {
    Slab::<StockImage>::is_kind(handle).then(|| IMAGES.remove(handle))
}

impl StockImage {
    /// A handle for an image that the stock library has opened.
    pub fn register(raw: rbd_image_t) -> Outcome<Ref<StockImage>> {
        IMAGES.insert(StockImage { raw, events: OnceLock::new() })
    }

    /// What the stock library knows it by.
    #[inline]
    pub fn raw(&self) -> rbd_image_t {
        self.raw
    }

    pub fn events(&self) -> Option<&EventSocket> {
        self.events.get()
    }

    /// EINVAL if the image has an event socket already.
    pub fn set_events(&self, socket: EventSocket) -> Outcome<()> {
        self.events.set(socket).map_err(|_| Errno::EINVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    #[test]
    fn a_handle_is_looked_up_and_never_the_stock_librarys_pointer() {
        let raw = ptr::without_provenance_mut(0x1000);
        let handle = StockImage::register(raw).unwrap().handle();
        assert_ne!(handle, raw);
        assert_eq!(find(handle).unwrap().unwrap().raw(), raw);
        assert!(find(raw).is_none() && find(ptr::null_mut()).is_none());
        assert_eq!(take(handle).unwrap().unwrap().raw(), raw);
        assert_eq!(find(handle).unwrap().err(), Some(Errno::EBADF));
        assert_eq!(take(handle).unwrap().err(), Some(Errno::EBADF));
    }
}
