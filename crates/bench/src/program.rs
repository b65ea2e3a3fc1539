//! Other programs with a time limit, on one side's libraries; and the CPU time of those that have ended.
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Seconds until a program is killed: a hang ends the run with an error instead of never.
const LIMIT: &str = "3600";
/// The kernel's clock ticks per second in /proc; 100 on every architecture that Ceph runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// `program`, killed after `LIMIT`, on the cluster of `conf`; `library` is the folder of our librbd.so.1, `None` the system's.
pub fn command(program: impl AsRef<OsStr>, conf: &Path, library: Option<&Path>) -> Command {
    let mut command = server("timeout", conf, library);
    command.args(["-k", "10", LIMIT]).arg(program);
    command
}

/// `program` without a limit, in the very process that is started. It ends with this one, however that ends; `cargo run` sets
/// LD_LIBRARY_PATH, so for the system's library it is taken away.
pub fn server(program: impl AsRef<OsStr>, conf: &Path, library: Option<&Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    match library {
        Some(folder) => command.env("LD_LIBRARY_PATH", folder),
        None => command.env_remove("LD_LIBRARY_PATH"),
    };
    command.env("CEPH_CONF", conf).env_remove("CEPH_ARGS").stdin(Stdio::null());
    command
}

/// Runs it and returns what it printed; any failure is an error with all that it said.
pub fn output(command: &mut Command) -> Result<String> {
    let described = format!("{:?}", command.get_args().collect::<Vec<_>>());
    let done = command.output().with_context(|| format!("cannot run {described}"))?;
    if !done.status.success() {
        let said = [done.stderr, done.stdout].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        bail!("{described}: {}\n{}{}", done.status, said[0], said[1]);
    }
    Ok(String::from_utf8(done.stdout)?)
}

/// CPU seconds of all children that have ended and were waited for, theirs included.
pub fn ended_children_cpu() -> Result<f64> {
    let fields = stat_fields(Path::new("/proc/self/stat"))?;
    Ok(ticks(&fields, 13)? + ticks(&fields, 14)?)
}

/// CPU seconds of a running process, all threads, without its children.
pub fn process_cpu(pid: i32) -> Result<f64> {
    let fields = stat_fields(Path::new(&format!("/proc/{pid}/stat")))?;
    Ok(ticks(&fields, 11)? + ticks(&fields, 12)?)
}

/// The fields of a stat file after the command's name, which may hold spaces: the first is the state.
fn stat_fields(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let rest = text.rsplit_once(") ").with_context(|| format!("{} has no name", path.display()))?.1;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], index: usize) -> Result<f64> {
    let value: f64 = fields.get(index).context("a stat file is too short")?.parse()?;
    Ok(value / TICKS_PER_SECOND)
}
