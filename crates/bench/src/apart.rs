//! `--apart`: the clients have a processor to themselves and the OSDs the others, as on machines of their own. Where they share
//! processors, each side's threads also compete with those of the OSD, and a row says as much about that as about the library.
use crate::program;
use anyhow::{Result, bail};
use std::process::Command;

/// This process on the first processor, with all that it starts from now on, and OSDs on the others. When dropped all of them have
/// every processor again.
pub struct Apart {
    osds: Vec<i32>,
    last: usize,
}

impl Apart {
    /// An error where there is one processor only.
    pub fn new(osds: Vec<i32>) -> Result<Self> {
        let last = std::thread::available_parallelism()?.get() - 1;
        if last == 0 {
            bail!("--apart needs two processors");
        }
        let apart = Self { osds, last };
        apart.set("0", &format!("1-{last}"))?;
        Ok(apart)
    }

    fn set(&self, clients: &str, osds: &str) -> Result<()> {
        place(std::process::id().cast_signed(), clients)?;
        self.osds.iter().try_for_each(|pid| place(*pid, osds))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let all = format!("0-{}", self.last);
        // Of a cluster of our own there is nothing to be given back.
        let _ = self.set(&all, &all);
    }
}

/// All threads of a process on these processors.
fn place(pid: i32, processors: &str) -> Result<()> {
    let mut taskset = Command::new("taskset");
    program::output(taskset.args(["--all-tasks", "--cpu-list", "--pid", processors, &pid.to_string()])).map(drop)
}
