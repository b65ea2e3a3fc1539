//! The process behind a mapped device: opens the image, serves the driver, follows the image's size, ends cleanly.
//!
//! It ends when the device is unmapped. SIGTERM and SIGINT end it without the device, which waits for another process: `attach`.
use super::args::Options;
use super::connections::Connections;
use super::driver;
use super::presence::Presence;
use super::quiesce::{self, Quieter, Quieting};
use crate::error::{Failure, Result};
use crate::output::warn;
use crate::session::{Location, Session};
use crate::signals::Signals;
use lsd_engine::{Image, SnapRef};
use lsd_nbd::kernel::{self, Attached, DeviceIndex, KernelError, Params, sysfs};
use lsd_nbd::proto::{ExportInfo, wire::transmission_flag};
use lsd_nbd::server::{SessionEnd, transmission_flags};
use lsd_nbd::{Device, ImageDevice};
use nix::libc;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The smallest request of a mapped device, bytes, as rbd-nbd's.
const BLOCK_BYTES: u32 = 512;
/// Largest device that the driver can have, bytes. A larger image gives EFBIG.
const MAX_DEVICE_BYTES: u64 = i64::MAX as u64;
/// How long a device waits for another process, seconds, as rbd-nbd's.
const DEFAULT_REATTACH_S: u64 = 30;

/// Where the device comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Map,
    /// It was left by another process.
    Attach(DeviceIndex),
}

pub(super) struct Mapping {
    pub session: Session,
    pub location: Location,
    pub options: Options,
    pub task: Task,
}

impl Mapping {
    /// Maps the image, calls `ready` with the line to print, and serves until the device is unmapped or a signal asks
    /// for the end.
    pub async fn run(self, ready: impl FnOnce(&str) -> Result<()>) -> Result<()> {
        driver::load(&self.options)?;
        let image = self.open().await?;
        let served = self.serve(&image, ready).await;
        // The kernel flushed what it had; what was acknowledged since must not depend on the next flush.
        let flushed = if image.read_only() { Ok(()) } else { image.flush().await };
        let closed = image.close().await;
        served?;
        flushed.map_err(|error| Failure::engine("error flushing image", &error))?;
        closed.map_err(|error| Failure::engine("error closing image", &error))
    }

    async fn open(&self) -> Result<Image> {
        match self.options.snap_id {
            Some(id) => self.session.open_snapshot(&self.location, SnapRef::Id(id)).await,
            None => {
                let read_only = self.options.read_only || self.location.snap.is_some();
                self.location.open_image(&self.session, read_only).await
            }
        }
    }

    async fn serve(&self, image: &Image, ready: impl FnOnce(&str) -> Result<()>) -> Result<()> {
        let size = image.size();
        if size > MAX_DEVICE_BYTES {
            return Err(Failure::errno("image is too large", libc::EFBIG));
        }
        let mut signals = Signals::new()?;
        if self.options.exclusive && !image.read_only() {
            take_lock(image).await?;
        }
        let device = self.device(image);
        let export =
            ExportInfo { name: self.location.image.clone(), description: None, size, flags: self.flags(&*device) };
        let count = self.options.connections.unwrap_or(1);
        let (mut connections, sockets) = Connections::open(count, &export, &device).await?;
        let (sizes, mut changed) = mpsc::unbounded_channel();
        let (watched, listener_sizes) = (image.clone(), sizes.clone());
        let listener = image.add_update_listener(Arc::new(move |_| {
            // Fails only while the device is being taken down.
            let _ = listener_sizes.send(watched.size());
        }));
        // It may have changed before anybody listened.
        let _ = sizes.send(image.size());
        // Without a device the driver's ends are closed, so the server ends by itself.
        let result = match self.attach(&export, sockets, &mut connections) {
            Ok(mut attached) => {
                let name = &self.location.image;
                tracing::info!(target: "lsd::api", image = %name, device = %attached.index, op = "map", "mapped");
                let mut parts =
                    Parts { image, attached: &mut attached, connections: &mut connections, quieting: Quieting::Never };
                let ended = self.keep(&mut parts, (&mut signals, &mut changed), ready).await;
                // What is under way ends without waiting for a limit.
                image.lift_limits();
                connections.ended().await;
                tracing::info!(target: "lsd::api", image = %name, device = %attached.index, op = "unmap", "unmapped");
                attached.finish();
                ended
            }
            Err(failure) => Err(failure),
        };
        image.remove_update_listener(listener);
        result
    }

    /// Until the device is unmapped or a signal asks for the end.
    async fn keep(
        &self,
        parts: &mut Parts<'_>,
        (signals, sizes): (&mut Signals, &mut mpsc::UnboundedReceiver<u64>),
        ready: impl FnOnce(&str) -> Result<()>,
    ) -> Result<()> {
        let told = match self.quieting(parts.image, parts.attached).await {
            Ok(quieting) => {
                parts.quieting = quieting;
                self.tell_ready(parts.attached, ready)
            }
            Err(failure) => Err(failure),
        };
        match told {
            Ok(_presence) => {
                let ended = parts.follow(signals, sizes).await;
                parts.quieting.end_unserved().await;
                ended
            }
            Err(failure) => {
                parts.quieting.end().await;
                self.give_up(parts.attached, parts.connections).and(Err(failure))
            }
        }
    }

    async fn quieting(&self, image: &Image, attached: &Attached) -> Result<Quieting> {
        if !self.options.quiesce {
            return Ok(Quieting::Never);
        }
        let hook = self.options.quiesce_hook.as_ref().map_or_else(quiesce::default_hook, Into::into);
        Quieter::start(image, hook, attached.index.to_string()).await.map(Quieting::On)
    }

    fn device(&self, image: &Image) -> Arc<dyn Device> {
        let device = ImageDevice::new(image.clone());
        // The file system on the device outlives this process.
        Arc::new(if self.options.writeback { device } else { device.with_durable_writes() })
    }

    fn flags(&self, device: &dyn Device) -> u16 {
        let flags = transmission_flags(device);
        if self.options.no_trim { flags & !transmission_flag::SEND_TRIM } else { flags }
    }

    /// Nobody was told of the device. One that was there before is somebody's.
    fn give_up(&self, attached: &mut Attached, connections: &Connections) -> Result<()> {
        match self.task {
            Task::Map => attached.disconnect().map_err(|error| kernel_failure("unmap", &error)),
            Task::Attach(_) => {
                connections.stop();
                Ok(())
            }
        }
    }

    fn attach(&self, export: &ExportInfo, sockets: Vec<OwnedFd>, connections: &mut Connections) -> Result<Attached> {
        let mut params = Params {
            size: export.size,
            block_size: BLOCK_BYTES,
            flags: export.flags,
            timeout_s: self.options.io_timeout,
            dead_connection_timeout_s: Some(self.options.reattach_timeout.unwrap_or(DEFAULT_REATTACH_S)),
            cookie: self.options.cookie.clone().filter(|cookie| !cookie.is_empty()),
        };
        let mut attached = match self.task {
            Task::Attach(index) => {
                kernel::reattach(index, &params, sockets).map_err(|error| kernel_failure("failed to attach", &error))?
            }
            Task::Map => self.map(&mut params, sockets)?,
        };
        if connections.taken() {
            if let Task::Attach(_) = self.task {
                // Not before it is certain that nobody else serves the device.
                attached.describe(&params).map_err(|error| kernel_failure("failed to attach", &error))?;
            }
            return Ok(attached);
        }
        Err(Failure::errno(&format!("{} has another process connected", attached.index), libc::EBUSY))
    }

    /// With a cookie of its own making where nobody gave one and the driver has a place for it.
    fn map(&self, params: &mut Params, sockets: Vec<OwnedFd>) -> Result<Attached> {
        let failed = |error: KernelError| kernel_failure("failed to map", &error);
        let generated = params.cookie.is_none() && kernel::Netlink::open().is_ok();
        if !generated {
            return kernel::attach(self.options.device, params, sockets).map_err(failed);
        }
        params.cookie = Some(uuid::Uuid::new_v4().to_string());
        let copies: std::io::Result<Vec<OwnedFd>> = sockets.iter().map(OwnedFd::try_clone).collect();
        let copies = copies.map_err(|error| Failure::io("socket", &error))?;
        match kernel::attach(self.options.device, params, copies) {
            // A driver without cookies refuses a request that carries one; nobody asked for this one.
            Err(error) if error.errno() == Some(libc::EINVAL) => {
                params.cookie = None;
                kernel::attach(self.options.device, params, sockets)
            }
            other => other,
        }
        .map_err(failed)
    }

    fn tell_ready(&self, attached: &Attached, ready: impl FnOnce(&str) -> Result<()>) -> Result<Presence> {
        if !self.options.no_udev {
            driver::settle();
        }
        let mut line = attached.index.to_string();
        if let Some(cookie) = sysfs::cookie(attached.index).filter(|_| self.options.show_cookie) {
            line.push(' ');
            line.push_str(&cookie);
        }
        let presence = Presence::announce(self.options.pid_file.as_deref())?;
        ready(&line).map(|()| presence)
    }
}

/// Takes the exclusive lock by hand, as rbd-nbd does: it stays with this process until the image is closed, and whoever asks
/// for it is refused. Fails with EROFS where another client keeps it in the same way, with EINVAL where the image has no
/// exclusive lock.
pub(super) async fn take_lock(image: &Image) -> Result<()> {
    let taken = image.locks().acquire().await;
    taken.map_err(|error| Failure::engine("failed to acquire exclusive lock", &error))
}

/// A device that is served.
struct Parts<'a> {
    image: &'a Image,
    attached: &'a mut Attached,
    connections: &'a mut Connections,
    quieting: Quieting,
}

impl Parts<'_> {
    /// Keeps the device going until its connections ended.
    async fn follow(&mut self, signals: &mut Signals, sizes: &mut mpsc::UnboundedReceiver<u64>) -> Result<()> {
        let blocks = |size: u64| size / u64::from(BLOCK_BYTES);
        let index = self.attached.index;
        let mut known = sysfs::size(index).map(blocks);
        let cookie = sysfs::cookie(index);
        loop {
            tokio::select! {
                end = self.connections.ended() => return match end {
                    SessionEnd::Disconnected | SessionEnd::Stopped => Ok(()),
                    SessionEnd::Lost => self.take_away(cookie.as_deref()),
                },
                () = signals.next() => {
                    self.image.lift_limits();
                    // While the device is served: what makes it quiet waits for its I/O, and would do so behind the end of this
                    // process, and leave it quiet for good. Another signal does not wait.
                    tokio::select! {
                        () = self.quieting.end() => self.leave(),
                        () = signals.next() => self.leave(),
                        // The loop ends.
                        _ = self.connections.ended() => {}
                    }
                }
                Some(size) = sizes.recv() => {
                    if known != Some(blocks(size)) {
                        match self.attached.resize(size) {
                            Ok(()) => known = Some(blocks(size)),
                            Err(error) => warn(&format!("{index}: {error}")),
                        }
                    }
                }
            }
        }
    }

    /// What ends this process but not the device. Where nobody could attach to it, it ends, too.
    fn leave(&mut self) {
        if self.attached.can_wait() {
            self.connections.stop();
        } else if let Err(error) = self.attached.disconnect() {
            // Unmapped meanwhile is as good.
            warn(&format!("{}: {error}", self.attached.index));
        }
    }

    /// The driver gave the connections up without a word, as it does when a request took longer than its time-out. As in rbd-nbd the
    /// device ends, so that whoever uses it is told; unless it is somebody else's by now.
    fn take_away(&mut self, cookie: Option<&str>) -> Result<()> {
        let index = self.attached.index;
        let still = sysfs::in_use().into_iter().find(|device| device.index == index);
        if still.is_some_and(|device| device.cookie.as_deref() == cookie) {
            // Fails where it is gone already.
            let _ = self.attached.disconnect();
        }
        Err(Failure::new(libc::EIO, format!("the driver dropped the connections of {index}")))
    }
}

fn kernel_failure(what: &str, error: &KernelError) -> Failure {
    Failure::new(1, format!("{what}: {error}"))
}
