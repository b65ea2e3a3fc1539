//! The process behind a mapped device: opens the image, serves the driver, follows the image's size, ends cleanly.
use super::args::Options;
use crate::error::{Failure, Result};
use crate::output::warn;
use crate::session::{Location, Session};
use lsd_engine::Image;
use lsd_nbd::kernel::{self, Attached, DeviceIndex, KernelError, Params, sysfs};
use lsd_nbd::proto::{ExportInfo, Session as NbdSession};
use lsd_nbd::server::{Bounds, Guests, Stopper, serve_session, transmission_flags};
use lsd_nbd::{Device, ImageDevice};
use nix::libc;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The smallest request of a mapped device, bytes, as rbd-nbd's.
const BLOCK_BYTES: u32 = 512;
/// Largest device that the driver can have, bytes. A larger image gives EFBIG.
const MAX_DEVICE_BYTES: u64 = i64::MAX as u64;
/// Partitions of a device where the command line does not say, as rbd-nbd.
const DEFAULT_MAX_PART: u32 = 255;

pub(super) struct Mapping {
    pub session: Session,
    pub location: Location,
    pub options: Options,
    pub program: String,
}

impl Mapping {
    /// Maps the image, calls `ready` with the line to print, and serves until the device is unmapped or a signal asks
    /// for the end.
    pub async fn run(self, ready: impl FnOnce(&str) -> Result<()>) -> Result<()> {
        let read_only = self.options.read_only || self.location.snap.is_some();
        self.load_driver()?;
        let image = self.location.open_image(&self.session, read_only).await?;
        let served = self.serve(&image, ready).await;
        // The kernel flushed what it had; what was acknowledged since must not depend on the next flush.
        let flushed = if read_only { Ok(()) } else { image.flush().await };
        let closed = image.close().await;
        served?;
        flushed.map_err(|error| Failure::engine("error flushing image", &error))?;
        closed.map_err(|error| Failure::engine("error closing image", &error))
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
        let device: Arc<dyn Device> = Arc::new(ImageDevice::new(image.clone()));
        let flags = transmission_flags(&*device);
        let (ours, drivers) = UnixStream::pair().map_err(|error| Failure::io("socketpair", &error))?;
        let stopper = Stopper::default();
        let mut serving = serve_driver(ours, device, &self.location.image, &stopper).await?;
        let (sizes, mut changed) = mpsc::unbounded_channel();
        let (watched, listener_sizes) = (image.clone(), sizes.clone());
        let listener = image.add_update_listener(Arc::new(move |_| {
            // Fails only while the device is being taken down.
            let _ = listener_sizes.send(watched.size());
        }));
        // It may have changed before anybody listened.
        let _ = sizes.send(image.size());
        let result = match self.attach(size, flags, drivers) {
            Ok(mut attached) => {
                let name = &self.location.image;
                tracing::info!(target: "lsd::api", image = %name, device = %attached.index, op = "map", "mapped");
                let told = self.tell_ready(&attached, ready);
                let ended = match told {
                    Ok(()) => follow(&mut attached, &mut serving, &mut signals, &mut changed).await,
                    Err(failure) => {
                        attached.disconnect().map_err(|error| kernel_failure("unmap", &error)).and(Err(failure))
                    }
                };
                // What is under way ends without waiting for a limit.
                image.lift_limits();
                if !serving.is_finished() {
                    let _ = (&mut serving).await;
                }
                tracing::info!(target: "lsd::api", image = %name, device = %attached.index, op = "unmap", "unmapped");
                attached.finish();
                ended
            }
            // The driver's end of the socket is closed, so the server ends by itself.
            Err(failure) => Err(failure),
        };
        image.remove_update_listener(listener);
        result
    }

    fn attach(&self, size: u64, flags: u16, socket: UnixStream) -> Result<Attached> {
        let mut params = Params {
            size,
            block_size: BLOCK_BYTES,
            flags,
            timeout_s: self.options.io_timeout,
            dead_connection_timeout_s: self.options.reattach_timeout,
            cookie: self.options.cookie.clone(),
        };
        let generated = params.cookie.is_none() && kernel::Netlink::open().is_ok();
        if generated {
            params.cookie = Some(uuid::Uuid::new_v4().to_string());
        }
        let cloned = socket.try_clone().map_err(|error| Failure::io("socket", &error))?;
        match kernel::attach(self.options.device, &params, cloned.into()) {
            // A driver without cookies refuses a request that carries one; nobody asked for this one.
            Err(error) if generated && error.errno() == Some(libc::EINVAL) => {
                params.cookie = None;
                kernel::attach(self.options.device, &params, socket.into())
            }
            other => other,
        }
        .map_err(|error| kernel_failure("failed to map", &error))
    }

    fn tell_ready(&self, attached: &Attached, ready: impl FnOnce(&str) -> Result<()>) -> Result<()> {
        let mut line = attached.index.to_string();
        if self.options.show_cookie {
            line.push(' ');
            line.push_str(&cookie_of(attached.index).unwrap_or_default());
        }
        ready(&line)
    }

    fn load_driver(&self) -> Result<()> {
        let Options { nbds_max, max_part, .. } = self.options;
        if sysfs::driver_loaded() || !sysfs::indexes().is_empty() {
            if nbds_max.is_some() || max_part.is_some() {
                let program = &self.program;
                eprintln!("{program}: ignoring kernel module parameter options: nbd module already loaded.");
            }
            return Ok(());
        }
        let mut command = Command::new("modprobe");
        command.arg("nbd").arg(format!("max_part={}", max_part.unwrap_or(DEFAULT_MAX_PART)));
        if let Some(limit) = nbds_max {
            command.arg(format!("nbds_max={limit}"));
        }
        let loaded = command.status().is_ok_and(|status| status.success());
        if loaded { Ok(()) } else { Err(Failure::new(1, "failed to load nbd kernel module")) }
    }
}

/// Takes the exclusive lock by hand, as rbd-nbd does: it stays with this process until the image is closed, and whoever asks
/// for it is refused. Fails with EROFS where another client keeps it in the same way, with EINVAL where the image has no
/// exclusive lock.
pub(super) async fn take_lock(image: &Image) -> Result<()> {
    let taken = image.locks().acquire().await;
    taken.map_err(|error| Failure::engine("failed to acquire exclusive lock", &error))
}

fn cookie_of(index: DeviceIndex) -> Option<String> {
    sysfs::in_use().into_iter().find(|device| device.index == index)?.cookie
}

/// Starts the server's end of the driver's connection.
async fn serve_driver(
    socket: UnixStream,
    device: Arc<dyn Device>,
    name: &str,
    stopper: &Stopper,
) -> Result<JoinHandle<()>> {
    let socket = socket.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(socket));
    let (reader, writer) = socket.map_err(|error| Failure::io("socket", &error))?.into_split();
    let export = ExportInfo {
        name: name.to_owned(),
        description: None,
        size: device.size(),
        flags: transmission_flags(&*device),
    };
    // The driver knows simple replies only.
    let session = NbdSession { export, structured_replies: false, base_allocation: false };
    let stop = stopper.watch();
    let seat = Guests::new(Bounds::default()).seat("the kernel".to_owned()).await;
    let seat = seat.map_err(|error| Failure::new(libc::EIO, format!("no place for the driver: {error}")))?;
    Ok(tokio::spawn(async move {
        serve_session(reader, writer, bytes::BytesMut::new(), session, device, stop, &seat).await;
    }))
}

/// Keeps the device going until the driver ends the connection.
async fn follow(
    attached: &mut Attached,
    serving: &mut JoinHandle<()>,
    signals: &mut Signals,
    sizes: &mut mpsc::UnboundedReceiver<u64>,
) -> Result<()> {
    let blocks = |size: u64| size / u64::from(BLOCK_BYTES);
    let mut known = sysfs::size(attached.index).map(blocks);
    loop {
        tokio::select! {
            _ = &mut *serving => return Ok(()),
            () = signals.next() => {
                // The driver answers with a disconnect, which ends the server; unmapped meanwhile is as good.
                if let Err(error) = attached.disconnect() {
                    warn(&format!("{}: {error}", attached.index));
                }
            }
            Some(size) = sizes.recv() => {
                if known != Some(blocks(size)) {
                    match attached.resize(size) {
                        Ok(()) => known = Some(blocks(size)),
                        Err(error) => warn(&format!("{}: {error}", attached.index)),
                    }
                }
            }
        }
    }
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> Result<Self> {
        let open = |kind| signal(kind).map_err(|error| Failure::io("signal handler", &error));
        Ok(Self { terminate: open(SignalKind::terminate())?, interrupt: open(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn kernel_failure(what: &str, error: &KernelError) -> Failure {
    Failure::new(1, format!("{what}: {error}"))
}
