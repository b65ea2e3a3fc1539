//! `lsd-nbd unmap` and `lsd-nbd detach`: by device or by image.
use super::Invocation;
use super::mapped::{self, Owner, not_mapped};
use crate::error::{Failure, Result};
use lsd_nbd::kernel::{self, DeviceIndex};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How long the daemon may take to end, seconds, as in rbd-nbd.
const DEFAULT_WAIT_S: u64 = 30;
const MISSING: &str = "nbd device or image-or-snap-spec";

/// Takes the device away, and waits until the image is closed.
pub(super) fn run(invocation: Invocation) -> Result<()> {
    let options = &invocation.options;
    let what = options.only_argument(MISSING)?;
    let default_pool = invocation.default_pool();
    let (device, pid) = if what.starts_with("/dev/") {
        match by_device(what, &default_pool, options.force)? {
            Some(found) => found,
            // What is wanted is so already, as rbd-nbd sees it.
            None => return Ok(()),
        }
    } else {
        let mapped = mapped::of_spec(options, what, &default_pool)?;
        (mapped.device, Some(mapped.pid))
    };
    if !options.force {
        check_unused(device)?;
    }
    kernel::detach(device).map_err(|error| Failure::new(1, format!("failed to unmap {device}: {error}")))?;
    match pid {
        Some(pid) => mapped::wait_for_end(pid, patience(&invocation)),
        None => Ok(()),
    }
}

/// Ends the process and leaves the device, which waits for another one as long as its reattach time-out.
pub(super) fn detach(invocation: Invocation) -> Result<()> {
    let options = &invocation.options;
    let what = options.only_argument(MISSING)?;
    let default_pool = invocation.default_pool();
    let pid = if what.starts_with("/dev/") {
        let nobody = || Failure::new(1, format!("no process attached to {what} found"));
        match mapped::of_device(index_of(what)?, &default_pool) {
            Some(Owner::Ours(mapped)) => mapped.pid,
            _ => return Err(nobody()),
        }
    } else {
        mapped::of_spec(options, what, &default_pool)?.pid
    };
    let process = i32::try_from(pid).map(Pid::from_raw).map_err(|_| Failure::new(1, format!("no process {pid}")))?;
    kill(process, Signal::SIGTERM)
        .map_err(|errno| Failure::errno(&format!("failed to terminate {pid}"), errno as i32))?;
    mapped::wait_for_end(pid, patience(&invocation))
}

fn patience(invocation: &Invocation) -> Duration {
    Duration::from_secs(invocation.options.reattach_timeout.unwrap_or(DEFAULT_WAIT_S))
}

/// Links such as those of udev lead to the device.
fn index_of(path: &str) -> Result<DeviceIndex> {
    let real = Path::new(path).canonicalize().unwrap_or_else(|_| path.into());
    super::args::device(real.to_str().unwrap_or(path)).or_else(|_| super::args::device(path))
}

/// The device and its process, if there is one; `None` for a device that is not in use.
fn by_device(path: &str, default_pool: &str, force: bool) -> Result<Option<(DeviceIndex, Option<u32>)>> {
    let index = index_of(path)?;
    match mapped::of_device(index, default_pool) {
        Some(Owner::Ours(mapped)) => Ok(Some((index, Some(mapped.pid)))),
        Some(Owner::Gone) => Ok(Some((index, None))),
        Some(Owner::Other) if force => Ok(Some((index, None))),
        Some(Owner::Other) => Err(not_mapped(path)),
        None if kernel::sysfs::size(index).is_some() => Ok(None),
        None => Err(Failure::new(1, format!("failed to open device: {path}"))),
    }
}

/// What is mounted, or part of something, would lose what the kernel has not written yet. The kernel knows of every such use, in
/// whatever name space, and refuses to open the device for one more.
fn check_unused(device: DeviceIndex) -> Result<()> {
    let path = device.to_string();
    let opened = std::fs::File::options().read(true).custom_flags(nix::libc::O_EXCL).open(&path);
    match opened.map_err(|error| error.raw_os_error()) {
        Err(Some(nix::libc::EBUSY)) => {
            let places = mounts_of(&path);
            let used = if places.is_empty() { String::new() } else { format!(" (mounted on {})", places.join(", ")) };
            let message =
                format!("{path} is in use{used}: unmount it first, or give up what is not written by --force");
            Err(Failure::new(1, message))
        }
        // Whatever else is wrong with it is no reason to keep it.
        _ => Ok(()),
    }
}

/// Where this process sees the device, or a partition of it, mounted.
fn mounts_of(path: &str) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let place = |line: &str| {
        let mut words = line.split(' ');
        let rest = words.next()?.strip_prefix(path)?;
        let partition = rest.strip_prefix('p').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        if rest.is_empty() || partition { words.next().map(str::to_owned) } else { None }
    };
    mounts.lines().filter_map(place).collect()
}
