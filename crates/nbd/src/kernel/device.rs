//! A device of the driver, whichever interface made it: attaching, taking over from a dead server, taking away.
//!
//! Does not own: the server at the other end of the sockets.
use super::{DeviceIndex, IoctlDevice, KernelError, Netlink, Result, sysfs};
use nix::libc;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the driver is told of a device.
#[derive(Clone, Debug)]
pub struct Params {
    /// Bytes. The driver takes whole blocks only; the rest of the last one is out of its reach.
    pub size: u64,
    /// Bytes: the smallest request.
    pub block_size: u32,
    /// Transmission flags of the protocol.
    pub flags: u16,
    /// Seconds until a request counts as lost; 0: never. `None`: the driver's default.
    pub timeout_s: Option<u64>,
    /// Seconds that requests wait for a new connection after the server died; netlink only.
    pub dead_connection_timeout_s: Option<u64>,
    /// Kept by the driver for whoever looks for the device again; netlink only, and EINVAL before Linux 5.14.
    pub cookie: Option<String>,
}

/// How long a device may take to show its size.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_PAUSE: Duration = Duration::from_millis(10);

/// A device that this process attached. Dropping it leaves the device as it is.
pub struct Attached {
    pub index: DeviceIndex,
    control: Control,
}

enum Control {
    Netlink {
        netlink: Netlink,
        cookie: Option<String>,
    },
    /// The thread is inside the driver until the device is disconnected.
    Ioctl {
        device: Arc<IoctlDevice>,
        running: Option<JoinHandle<Result<()>>>,
    },
}

/// Gives `sockets` to the driver as connections of one device: by netlink, and where the driver has none, by ioctl. The other ends
/// have to be served already. Without an index any free device will do. EBUSY: the device, or every device, is in use.
///
/// sysfs shows the calling thread as the device's owner (netlink), or a thread of this process (ioctl).
pub fn attach(index: Option<DeviceIndex>, params: &Params, sockets: Vec<OwnedFd>) -> Result<Attached> {
    let attached = match Netlink::open() {
        Ok(mut netlink) => {
            let index = netlink.connect(index, params, &borrowed(&sockets))?;
            Attached { index, control: Control::Netlink { netlink, cookie: params.cookie.clone() } }
        }
        Err(KernelError::Unavailable(_)) => return attach_by_ioctl(index, params, sockets),
        Err(error) => return Err(error),
    };
    attached.when_ready(params)
}

/// Gives `sockets` to a device whose server is gone, in time for the requests that wait for one; netlink only. A device that has a
/// server takes none of them: their other ends find them closed. Of one that took them this process describes size and time-outs
/// then ([`Attached::describe`]). sysfs goes on showing the first owner.
pub fn reattach(index: DeviceIndex, params: &Params, sockets: Vec<OwnedFd>) -> Result<Attached> {
    let mut netlink = Netlink::open()?;
    netlink.reconnect(index, params, &borrowed(&sockets))?;
    drop(sockets);
    Ok(Attached { index, control: Control::Netlink { netlink, cookie: params.cookie.clone() } })
}

fn borrowed(sockets: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    sockets.iter().map(AsFd::as_fd).collect()
}

/// As [`attach`], by ioctl whatever the driver has.
pub fn attach_by_ioctl(index: Option<DeviceIndex>, params: &Params, sockets: Vec<OwnedFd>) -> Result<Attached> {
    if params.cookie.is_some() {
        return Err(KernelError::Unavailable("a device cookie without the nbd netlink interface"));
    }
    let device = match index {
        Some(index) => {
            let mut device = IoctlDevice::open(index)?;
            // The driver takes several sockets from one thread as connections of one device.
            if sysfs::in_use().iter().any(|device| device.index == index) {
                return Err(in_use(&index.to_string()));
            }
            device.set_up(params, &borrowed(&sockets))?;
            device
        }
        None => first_free(params, &sockets)?,
    };
    let index = device.index;
    let device = Arc::new(device);
    let runner = device.clone();
    let run = move || {
        let result = runner.run();
        let _ = runner.clear();
        // The driver has its own references; these only had to outlive the start.
        drop(sockets);
        result
    };
    let running = std::thread::Builder::new().name("nbd-device".into()).spawn(run);
    let running = running.map_err(|error| KernelError::failed("device thread", error))?;
    Attached { index, control: Control::Ioctl { device, running: Some(running) } }.when_ready(params)
}

fn first_free(params: &Params, sockets: &[OwnedFd]) -> Result<IoctlDevice> {
    let indexes = sysfs::indexes();
    if indexes.is_empty() {
        return Err(KernelError::Unavailable("the nbd driver"));
    }
    let busy: Vec<DeviceIndex> = sysfs::in_use().into_iter().map(|device| device.index).collect();
    for index in indexes.into_iter().filter(|index| !busy.contains(index)) {
        let mut device = IoctlDevice::open(index)?;
        match device.set_up(params, &borrowed(sockets)) {
            Ok(()) => return Ok(device),
            // Somebody took it since.
            Err(error) if error.errno() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
    Err(in_use("no free nbd device"))
}

fn in_use(what: &str) -> KernelError {
    KernelError::failed(what, std::io::Error::from_raw_os_error(libc::EBUSY))
}

/// A device that does not get its size is not usable, whatever the driver said.
fn wait_for_size(index: DeviceIndex, params: &Params) -> Result<()> {
    let wanted = params.size / u64::from(params.block_size) * u64::from(params.block_size);
    let until = Instant::now() + READY_TIMEOUT;
    loop {
        let size = sysfs::size(index);
        if size == Some(wanted) && index.path().exists() {
            return Ok(());
        }
        if Instant::now() >= until {
            let what = format!("{index} does not become ready (size {size:?}, not {wanted})");
            return Err(KernelError::failed(what, std::io::Error::from_raw_os_error(libc::ETIMEDOUT)));
        }
        std::thread::sleep(READY_PAUSE);
    }
}

impl Attached {
    fn when_ready(mut self, params: &Params) -> Result<Self> {
        match wait_for_size(self.index, params) {
            Ok(()) => Ok(self),
            Err(error) => {
                let _ = self.disconnect();
                Err(error)
            }
        }
    }

    /// Size and time-outs of a device that was attached again. It is not taken away if it does not get them: it is somebody's disk.
    pub fn describe(&mut self, params: &Params) -> Result<()> {
        if let Control::Netlink { netlink, .. } = &mut self.control {
            netlink.describe_again(self.index, params)?;
        }
        wait_for_size(self.index, params)
    }

    /// Bytes; the device follows at once.
    pub fn resize(&mut self, size: u64) -> Result<()> {
        match &mut self.control {
            Control::Netlink { netlink, cookie } => netlink.resize(self.index, size, cookie.as_deref()),
            Control::Ioctl { device, .. } => device.resize(size),
        }
    }

    /// True if the device can wait for another server: [`reattach`].
    pub fn can_wait(&self) -> bool {
        matches!(self.control, Control::Netlink { .. })
    }

    /// Makes the driver end the device: requests in flight are finished, the server gets a disconnect.
    pub fn disconnect(&mut self) -> Result<()> {
        match &mut self.control {
            Control::Netlink { netlink, .. } => netlink.disconnect(self.index),
            Control::Ioctl { device, .. } => device.disconnect(),
        }
    }

    /// Waits until the driver let go of the device, after its connection ended.
    pub fn finish(self) {
        if let Control::Ioctl { running: Some(running), .. } = self.control {
            let _ = running.join();
        }
    }
}

/// Ends a device that some process attached.
pub fn detach(index: DeviceIndex) -> Result<()> {
    match Netlink::open() {
        Ok(mut netlink) => netlink.disconnect(index),
        Err(KernelError::Unavailable(_)) => IoctlDevice::open(index)?.disconnect(),
        Err(error) => Err(error),
    }
}
