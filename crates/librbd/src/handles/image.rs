//! `rbd_image_t`: an open image with what the C API adds to the engine's handle.
//!
//! Owns: the handle's life (poisoning, operations in flight, close). Does not own: what it shows (`view.rs`), opening (module
//! `open`), I/O.
use crate::ffi::ctypes::rbd_image_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::completion::Completion;
use crate::handles::events::EventSocket;
use crate::handles::layout::Layout;
use crate::handles::listener::Listener;
use crate::handles::pool::PoolEnd;
use crate::handles::quiesce::QuiesceWatch;
use crate::handles::slab::{Handled, Ref, Slab};
use crate::handles::view::View;
use crate::runtime::process::Core;
use crate::runtime::signals::Signal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::Notify;

pub struct OpenImage {
    pub view: View,
    pub core: &'static Core,
    pub layout: Layout,
    /// What the caller's cluster handle said of options when the image was opened, where that is not the default.
    pub config: BTreeMap<&'static str, String>,
    poisoned: AtomicBool,
    closing: AtomicBool,
    in_flight: AtomicUsize,
    idle: Notify,
    events: OnceLock<EventSocket>,
    /// Those of rbd_update_watch by their handles: callbacks that no operation counts. `None` once the image is being
    /// closed.
    listeners: Mutex<Option<BTreeMap<u64, Arc<Listener>>>>,
    /// Those of rbd_quiesce_watch. `None` once the image is being closed.
    quiesce_watches: Mutex<Option<BTreeMap<u64, QuiesceWatch>>>,
    pool_end: Mutex<Option<PoolEnd>>,
}

static IMAGES: Slab<OpenImage> = Slab::new();

impl Handled for OpenImage {
    const TAG: u64 = 0xd;
    fn slab() -> &'static Slab<Self> {
        &IMAGES
    }
}

/// The image of a handle. EINVAL for null, EBADF for a closed or invented handle, EIO after a panic.
pub fn image_of(handle: rbd_image_t) -> Outcome<Ref<OpenImage>> {
    let image = IMAGES.get(handle)?;
    if image.poisoned.load(Ordering::Relaxed) { Err(Errno::EIO) } else { Ok(image) }
}

impl OpenImage {
    /// Gives an open image a handle.
    pub fn register(
        view: View,
        core: &'static Core,
        layout: Layout,
        config: BTreeMap<&'static str, String>,
        pool_end: PoolEnd,
    ) -> Outcome<Ref<OpenImage>> {
        IMAGES.insert(OpenImage {
            view,
            core,
            layout,
            config,
            poisoned: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
            events: OnceLock::new(),
            listeners: Mutex::new(Some(BTreeMap::new())),
            quiesce_watches: Mutex::new(Some(BTreeMap::new())),
            pool_end: Mutex::new(Some(pool_end)),
        })
    }

    /// Every later call on the handle gives EIO.
    pub fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
    }

    /// One that comes while the image is being closed is never called.
    pub fn add_listener(&self, number: u64, listener: Arc<Listener>) {
        match &mut *self.listeners.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(listeners) => drop(listeners.insert(number, listener)),
            None => listener.end(),
        }
    }

    /// ENOENT. The listener is not called any more, but may be running.
    pub fn end_listener(&self, number: u64) -> Outcome<()> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = listeners.as_mut().and_then(|listeners| listeners.remove(&number)).ok_or(Errno::ENOENT)?;
        listener.end();
        self.view.head().remove_update_listener(number);
        Ok(())
    }

    /// Ends every listener, for good; true if there was one, which may be running.
    fn end_listeners(&self) -> bool {
        let ended = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        for (number, listener) in &ended {
            listener.end();
            self.view.head().remove_update_listener(*number);
        }
        !ended.is_empty()
    }

    fn quiesce_watches(&self) -> MutexGuard<'_, Option<BTreeMap<u64, QuiesceWatch>>> {
        self.quiesce_watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that comes while the image is being closed ends at once.
    pub async fn add_quiesce_watch(&self, number: u64, watch: QuiesceWatch) {
        let late = match &mut *self.quiesce_watches() {
            Some(watches) => watches.insert(number, watch),
            None => Some(watch),
        };
        if let Some(watch) = late {
            watch.end().await;
        }
    }

    /// ENOENT. Its functions are not called any more.
    pub async fn end_quiesce_watch(&self, number: u64) -> Outcome<()> {
        let watch = self.quiesce_watches().as_mut().and_then(|watches| watches.remove(&number)).ok_or(Errno::ENOENT)?;
        let ended = self.view.head().quiesce_unwatch(number).await;
        watch.end().await;
        Ok(ended?)
    }

    async fn end_quiesce_watches(&self) {
        let watches = self.quiesce_watches().take().unwrap_or_default();
        for (number, watch) in watches {
            // Closing the image ends what is left of it.
            let _ = self.view.head().quiesce_unwatch(number).await;
            watch.end().await;
        }
    }

    pub fn events(&self) -> Option<&EventSocket> {
        self.events.get()
    }

    /// EINVAL if the image has an event socket already.
    pub fn set_events(&self, socket: EventSocket) -> Outcome<()> {
        self.events.set(socket).map_err(|_| Errno::EINVAL)
    }

    /// Waits for operations in flight, except inside a callback: that one is in flight itself.
    async fn drained(&self, inside_callback: bool) {
        self.closing.store(true, Ordering::SeqCst);
        self.view.lift_limits();
        if inside_callback {
            return;
        }
        loop {
            let idle = self.idle.notified();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Takes a handle away from its caller, who cannot use it any more, whatever becomes of the close.
pub fn take_handle(handle: rbd_image_t) -> Outcome<Ref<OpenImage>> {
    IMAGES.remove(handle)
}

/// Closes an image whose handle was taken. A poisoned one is left as a crash would leave it: its memory cannot be
/// trusted, and recovery does not need it.
pub async fn close(image: Ref<OpenImage>, inside_callback: bool) -> Outcome<()> {
    // First of all: whoever closes an image is done with its listeners, and may take away what they use when this
    // returns.
    if image.end_listeners() && !inside_callback {
        image.core.deliverer.flushed().await;
    }
    image.end_quiesce_watches().await;
    image.drained(inside_callback).await;
    let closed = if image.poisoned.load(Ordering::Relaxed) { Err(Errno::EIO) } else { image.view.close().await };
    let result = closed.err().map_or(0, |errno| -errno.0);
    tracing::debug!(target: "lsd::api", image = %image.view.head().info().name, op = "close", result, "a client closed it");
    let end = image.pool_end.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(image);
    // The operation whose callback this is keeps the image until the callback has returned.
    if let Some(end) = end.filter(|_| !inside_callback) {
        end.reached().await;
    }
    closed
}

/// Counts one operation in flight; rbd_close waits for it.
pub struct InFlight(Ref<OpenImage>);

impl InFlight {
    pub fn begin(image: &Ref<OpenImage>) -> Self {
        image.in_flight.fetch_add(1, Ordering::SeqCst);
        Self(image.clone())
    }

    /// Lets rbd_poll_io_events find the completion; false if the image has no event socket.
    pub fn queue_event(&self, completion: &Ref<Completion>) -> bool {
        match self.0.events() {
            Some(socket) => {
                socket.push(completion.clone());
                true
            }
            None => false,
        }
    }

    pub fn poison(&self) {
        self.0.poison();
    }

    pub fn core(&self) -> &'static Core {
        self.0.core
    }
}

/// Writes the image's event socket after a bunch of completions, and keeps the image from being closed until then.
impl Signal for InFlight {
    fn target(&self) -> usize {
        self.0.handle() as usize
    }

    fn send(&self, count: u64) {
        if let Some(socket) = self.0.events() {
            socket.wake(count);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let left = self.0.in_flight.fetch_sub(1, Ordering::SeqCst) - 1;
        if left == 0 && self.0.closing.load(Ordering::SeqCst) {
            self.0.idle.notify_waiters();
        }
    }
}
