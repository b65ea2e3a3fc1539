//! `lsd-nbd unmap`: by device or by image.
use super::Invocation;
use super::mapped::{self, ImageName, Owner};
use crate::error::{Failure, Result};
use lsd_nbd::kernel::{self, DeviceIndex};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the daemon may take to end, seconds, as in rbd-nbd.
const DEFAULT_WAIT_S: u64 = 30;
const PAUSE: Duration = Duration::from_millis(20);

pub(super) fn run(invocation: Invocation) -> Result<()> {
    let options = &invocation.options;
    let what = options.only_argument("nbd device or image-or-snap-spec")?;
    let default_pool = invocation.session().map_or_else(|_| "rbd".to_owned(), |session| session.default_pool());
    let (device, pid) = if what.starts_with("/dev/") {
        match by_device(what, &default_pool)? {
            Some(found) => found,
            // What is wanted is so already, as rbd-nbd sees it.
            None => return Ok(()),
        }
    } else {
        let here = std::env::current_dir().ok();
        let name = ImageName::new(&options.location(what)?, &default_pool, here.as_deref());
        let found = mapped::all(&default_pool).into_iter().find(|mapped| mapped.name == name);
        let mapped = found.ok_or_else(|| not_mapped(&name.to_string()))?;
        (mapped.device, Some(mapped.pid))
    };
    if !options.force {
        check_unused(device)?;
    }
    kernel::detach(device).map_err(|error| Failure::new(1, format!("failed to unmap {device}: {error}")))?;
    match pid {
        Some(pid) => wait_for_end(pid, Duration::from_secs(options.reattach_timeout.unwrap_or(DEFAULT_WAIT_S))),
        None => Ok(()),
    }
}

/// The device and its process, if there is one; `None` for a device that is not in use.
fn by_device(path: &str, default_pool: &str) -> Result<Option<(DeviceIndex, Option<u32>)>> {
    // Links such as those of udev lead to the device.
    let real = Path::new(path).canonicalize().unwrap_or_else(|_| path.into());
    let wrong = || Failure::usage(format!("invalid device path: {path} (expected /dev/nbd{{num}})"));
    let index = DeviceIndex::from_path(&real).ok_or_else(wrong)?;
    match mapped::of_device(index, default_pool) {
        Some(Owner::Ours(mapped)) => Ok(Some((index, Some(mapped.pid)))),
        Some(Owner::Gone) => Ok(Some((index, None))),
        Some(Owner::Other) => Err(not_mapped(path)),
        None if kernel::sysfs::size(index).is_some() => Ok(None),
        None => Err(Failure::errno(&format!("failed to open {path}"), nix::libc::ENOENT)),
    }
}

fn not_mapped(what: &str) -> Failure {
    Failure::new(1, format!("{what} is not mapped"))
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

/// The image is flushed and closed only when its daemon is gone.
fn wait_for_end(pid: u32, limit: Duration) -> Result<()> {
    let until = Instant::now() + limit;
    while mapped::alive(pid) {
        if Instant::now() >= until {
            return Err(Failure::new(1, format!("process {pid} is still closing the image")));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
