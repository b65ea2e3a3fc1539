//! The cluster of a run: one of `CEPH_CONF`, or one of vstart's that ends with this process, however that ends.
use crate::program::{command, output};
use anyhow::{Context, Result};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// An OSD's disk: it grows with everything written up to this and no further, since a full disk stops the machine. The first
/// part holds BlueStore's own data and `rados bench`; both sides' images and their garbage are less than eight sizes, and as much again
/// stays free: what is freed by one side leaves gaps for the other.
const DISK_BASE: u64 = 8 << 30;
const DISK_SIZES: u64 = 16;
/// From images of this size on a single OSD's disk is written once before the run. New places of a sparse file cost more than those of
/// a disk, and a log writes to new places. Several OSDs would take too much space and smaller images mean nothing.
const WRITTEN_DISK_LEAST_MIB: u64 = 512;
/// The pool that vstart makes for logs: erasure-coded k=2 m=1, no overwrites.
pub const EC_POOL: &str = "rbd-ec";
/// Stock librbd needs overwrites, so it has a pool of its own with the same profile.
pub const EC_OVERWRITES_POOL: &str = "rbd-ec-overwrites";

pub struct Cluster {
    pub conf: PathBuf,
    /// Stops and removes the cluster when its input closes.
    reaper: Option<Child>,
}

impl Cluster {
    pub fn given(conf: PathBuf) -> Self {
        Self { conf, reaper: None }
    }

    /// Starts one; `source` is the checkout. `scratch` is removed with it.
    pub fn start(source: &Path, scratch: &Path, osds: u32, size_mib: u64) -> Result<Self> {
        let vstart = source.join("vstart/vstart");
        let dir = tempfile::Builder::new().prefix("lsd-bench-").tempdir()?.keep();
        let mut reaper = Command::new("bash");
        reaper
            .arg("-c")
            .arg("trap '' INT TERM HUP; read -r; \"$0\" stop \"$1\"; rm -rf -- \"$1\" \"$2\"")
            .arg(&vstart)
            .arg(&dir)
            .arg(scratch);
        // A process group of its own: Ctrl-C is for us, and it must outlive us.
        let reaper = reaper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let cluster = Self { conf: dir.join("ceph.conf"), reaper: Some(reaper.context("cannot start bash")?) };
        let mut start = Command::new(&vstart);
        start.arg("start").arg(&dir).args(["--osds", &osds.to_string()]).stdin(Stdio::null());
        let disk = DISK_BASE + DISK_SIZES * (size_mib << 20);
        start.env_remove("LD_LIBRARY_PATH").env("VSTART_BLOCK_SIZE", disk.to_string());
        if osds == 1 && size_mib >= WRITTEN_DISK_LEAST_MIB {
            start.env("VSTART_WRITE_DISKS", "1");
        }
        output(&mut start).context("the cluster did not start")?;
        Ok(cluster)
    }

    /// Makes stock's erasure-coded pool.
    pub fn make_overwrites_pool(&self) -> Result<()> {
        let ceph = |args: &[&str]| output(command("ceph", &self.conf, None).args(args));
        ceph(&["osd", "pool", "create", EC_OVERWRITES_POOL, "16", "16", "erasure", "lsd-ec"])?;
        ceph(&["osd", "pool", "set", EC_OVERWRITES_POOL, "allow_ec_overwrites", "true"])?;
        ceph(&["osd", "pool", "application", "enable", EC_OVERWRITES_POOL, "rbd"])?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut reaper) = self.reaper.take() {
            drop(reaper.stdin.take());
            let _ = reaper.wait();
        }
    }
}
