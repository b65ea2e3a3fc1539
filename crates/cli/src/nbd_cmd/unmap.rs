//! `lsd-nbd unmap`: by device or by image.
use super::Invocation;
use super::mapped::{self, ImageName, Owner};
use crate::error::{Failure, Result};
use lsd_nbd::kernel::{self, DeviceIndex};
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
        by_device(what, &default_pool)?
    } else {
        let here = std::env::current_dir().ok();
        let name = ImageName::new(&options.location(what)?, &default_pool, here.as_deref());
        let found = mapped::all(&default_pool).into_iter().find(|mapped| mapped.name == name);
        let mapped = found.ok_or_else(|| not_mapped(&name.to_string()))?;
        (mapped.device, Some(mapped.pid))
    };
    kernel::detach(device).map_err(|error| Failure::new(1, format!("failed to unmap {device}: {error}")))?;
    match pid {
        Some(pid) => wait_for_end(pid, Duration::from_secs(options.reattach_timeout.unwrap_or(DEFAULT_WAIT_S))),
        None => Ok(()),
    }
}

fn by_device(path: &str, default_pool: &str) -> Result<(DeviceIndex, Option<u32>)> {
    // Links such as those of udev lead to the device.
    let real = Path::new(path).canonicalize().unwrap_or_else(|_| path.into());
    let owner = DeviceIndex::from_path(&real).and_then(|index| Some((index, mapped::of_device(index, default_pool)?)));
    match owner {
        Some((index, Owner::Ours(mapped))) => Ok((index, Some(mapped.pid))),
        Some((index, Owner::Gone)) => Ok((index, None)),
        Some((_, Owner::Other)) | None => Err(not_mapped(path)),
    }
}

fn not_mapped(what: &str) -> Failure {
    Failure::new(1, format!("{what} is not mapped"))
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
