//! Getting the driver loaded, and udev's links made before anybody is told of a device.
use super::args::Options;
use crate::error::{Failure, Result};
use crate::output::warn_named;
use lsd_nbd::kernel::sysfs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Partitions of a device where the command line does not say, as rbd-nbd.
const DEFAULT_MAX_PART: u32 = 255;
/// How long udev may take, seconds; what waits on it is not lost, only late.
const SETTLE_S: u32 = 10;

/// Parameters count only where the driver is not loaded yet.
pub(super) fn load(options: &Options) -> Result<()> {
    let Options { nbds_max, max_part, .. } = options;
    if sysfs::driver_loaded() || !sysfs::indexes().is_empty() {
        if nbds_max.is_some() || max_part.is_some() {
            warn_named("ignoring kernel module parameter options: nbd module already loaded");
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

/// Waits for udev, where there is one. The device has to be served meanwhile: udev reads from it.
pub(super) fn settle() {
    if !Path::new("/run/udev/control").exists() {
        return;
    }
    let mut command = Command::new("udevadm");
    command.args(["settle", &format!("--timeout={SETTLE_S}")]);
    let waited = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !waited.is_ok_and(|status| status.success()) {
        tracing::warn!(target: "lsd::api", op = "settle", "udev is not done, or cannot be asked");
    }
}
