//! `--apart`: the clients have a processor to themselves and the OSDs the others, as on machines of their own. Where they share
//! processors, each side's threads also compete with those of the OSD, and a row says as much about that as about the library.
use crate::program;
use anyhow::{Result, bail};
use std::ffi::OsStr;
use std::process::Command;

/// The processor of the clients.
const CLIENTS: &str = "0";

/// `program`, started by `start` (of module `program`), on the clients' processor.
pub fn client(start: impl FnOnce(&OsStr) -> Command, program: &OsStr) -> Command {
    let mut command = start(OsStr::new("taskset"));
    command.args(["--cpu-list", CLIENTS]).arg(program);
    command
}

/// OSDs without the clients' processor. When dropped they have all of them again.
pub struct Confined {
    pids: Vec<i32>,
    last: usize,
}

impl Confined {
    /// An error where there is one processor only.
    pub fn new(pids: Vec<i32>) -> Result<Self> {
        let last = std::thread::available_parallelism()?.get() - 1;
        if last == 0 {
            bail!("--apart needs two processors");
        }
        let confined = Self { pids, last };
        confined.set(1)?;
        Ok(confined)
    }

    fn set(&self, first: usize) -> Result<()> {
        for pid in &self.pids {
            let mut taskset = Command::new("taskset");
            taskset.args(["--all-tasks", "--pid", "--cpu-list", &format!("{first}-{}", self.last), &pid.to_string()]);
            program::output(&mut taskset)?;
        }
        Ok(())
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        // Of a cluster of our own there is nothing to be given back.
        let _ = self.set(0);
    }
}
