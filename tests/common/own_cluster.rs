//! A cluster that a test starts for itself, beside that of the run. Owns: its daemons, which the test may harm. Does not own: what
//! else such a test needs, nor whether it runs alone (`requires_ceph!(alone)`).
use super::{Ceph, Cmd, Finished};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Small, so that a writer cannot fill the disk of the machine.
const BLOCK_SIZE: &str = "8589934592";

/// Its daemons end when it is dropped.
pub struct OwnCluster {
    dir: PathBuf,
    _scratch: tempfile::TempDir,
}

impl OwnCluster {
    /// `options` of `vstart start`.
    pub fn start(options: &[&str]) -> Self {
        let scratch = tempfile::Builder::new().prefix("lsd-own").tempdir_in("/tmp").unwrap();
        let cluster = Self { dir: scratch.path().join("ceph"), _scratch: scratch };
        cluster.vstart(options);
        cluster
    }

    /// Starts what is not running.
    pub fn vstart(&self, options: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("vstart/vstart");
        let command = Cmd::stock(script).arg("start").arg(&self.dir).args(options);
        command.env("VSTART_BLOCK_SIZE", BLOCK_SIZE).timeout(Duration::from_secs(240)).ok();
    }

    pub fn ceph(&self) -> Ceph {
        Ceph::at(self.dir.join("ceph.conf"))
    }

    /// What the monitors and OSDs are told, in words.
    pub fn tell(&self, words: &str) -> Finished {
        self.ceph().stock("ceph").args(words.split_whitespace()).ok()
    }

    /// How a daemon was started.
    pub fn command_of(&self, daemon: &str) -> Vec<String> {
        let command = std::fs::read_to_string(format!("/proc/{}/cmdline", self.pid_of(daemon))).unwrap();
        command.split_terminator('\0').map(str::to_owned).collect()
    }

    pub fn signal(&self, daemon: &str, signal: &str) {
        Cmd::new("kill").args([signal, &self.pid_of(daemon)]).ok();
    }

    fn pid_of(&self, daemon: &str) -> String {
        std::fs::read_to_string(self.dir.join(format!("run/{daemon}.pid"))).unwrap().trim().to_owned()
    }
}

impl Drop for OwnCluster {
    fn drop(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("vstart/vstart");
        Cmd::stock(script).arg("stop").arg(&self.dir).timeout(Duration::from_secs(90)).run();
    }
}
