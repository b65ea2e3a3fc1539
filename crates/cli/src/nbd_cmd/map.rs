//! `lsd-nbd map` and `lsd-nbd attach`: the command that starts a daemon and waits until the device is ready.
//!
//! The daemon is this program again with the same command line, so that it is found by it. It is started by exec, not
//! left over from a fork: librados and the runtime have threads, which no fork takes along.
use super::Invocation;
use super::daemon::{Mapping, Task};
use super::mapped::{self, Owner};
use crate::error::{Failure, Result};
use lsd_nbd::kernel::{DeviceIndex, sysfs};
use nix::libc;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Set in the daemon's environment. Its standard output is a pipe to the command, which takes the device's name from it
/// and ends when it is closed.
pub(super) const DAEMON_MARK: &str = "LSD_NBD_DAEMON";

const MISSING: &str = "image-or-snap-spec";

pub(super) fn run(invocation: Invocation) -> Result<()> {
    serve(invocation, Task::Map)
}

/// As `map`, on a device whose process is gone.
pub(super) fn attach(invocation: Invocation) -> Result<()> {
    let device = invocation.options.device.ok_or_else(|| Failure::usage("must specify device to attach"))?;
    // The command did so before it started the daemon.
    if !in_daemon() {
        check_cookie(sysfs::cookie(device).as_deref(), invocation.options.cookie.as_deref())?;
        invocation.options.only_argument(MISSING)?;
        check_left(device, &invocation.default_pool())?;
    }
    serve(invocation, Task::Attach(device))
}

/// The wrong image on a device is the end of the file system on it: whoever attaches has to know what the device was mapped with.
fn check_cookie(of_device: Option<&str>, given: Option<&str>) -> Result<()> {
    let wrong = match (of_device, given.filter(|cookie| !cookie.is_empty())) {
        (Some(_), None) => "must specify cookie to attach",
        (Some(device), Some(given)) if device != given => "cookie mismatch",
        (None, Some(_)) => "kernel does not have cookie support",
        _ => return Ok(()),
    };
    Err(Failure::usage(wrong))
}

fn check_left(device: DeviceIndex, default_pool: &str) -> Result<()> {
    match mapped::of_device(device, default_pool) {
        Some(Owner::Ours(mapped)) => {
            let pid = mapped.pid;
            Err(Failure::new(libc::EBUSY, format!("{device} has process {pid} connected")))
        }
        // Of another program the driver knows whether it still has the device.
        Some(Owner::Gone | Owner::Other) => Ok(()),
        None => Err(Failure::errno(&format!("{device} is not in use: there is nothing to attach to"), libc::EINVAL)),
    }
}

fn in_daemon() -> bool {
    std::env::var_os(DAEMON_MARK).is_some()
}

fn serve(invocation: Invocation, task: Task) -> Result<()> {
    let location = invocation.options.location(invocation.options.only_argument(MISSING)?)?;
    let in_daemon = in_daemon();
    if !in_daemon && !invocation.options.foreground {
        return start(&invocation);
    }
    let session = invocation.session()?;
    let log = invocation.globals.setting("log_file").filter(|path| !path.is_empty()).map(PathBuf::from);
    let mapping = Mapping { session, location, options: invocation.options, task };
    // Threads start only here, in the process that stays.
    crate::run_to_end(mapping.run(|line| {
        print_line(line)?;
        if in_daemon { leave_terminal(log.as_deref()) } else { Ok(()) }
    }))
}

/// Starts the daemon; returns when its device is ready, with its failure otherwise.
fn start(invocation: &Invocation) -> Result<()> {
    let failed = |error: std::io::Error| Failure::errno("failed to start", error.raw_os_error().unwrap_or(libc::EIO));
    // By its real path, for the name that the process shows.
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    if let Some(name) = invocation.words.first() {
        command.arg0(name);
    }
    command.args(&invocation.words[1.min(invocation.words.len())..]).env(DAEMON_MARK, "1");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut line = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut line).map_err(failed)?;
    }
    if line.is_empty() {
        // It said what was wrong on the standard error that it shares with this process.
        let status = child.wait().map_err(failed)?;
        return Err(describe_end(status));
    }
    print_line(line.trim_end())
}

fn describe_end(status: ExitStatus) -> Failure {
    match status.code() {
        Some(0) => Failure::new(1, "the device was disconnected before it was ready"),
        Some(_) => Failure::silent(1),
        None => Failure::new(1, format!("the daemon ended: {status}")),
    }
}

fn print_line(line: &str) -> Result<()> {
    let mut output = std::io::stdout();
    let printed = writeln!(output, "{line}").and_then(|()| output.flush());
    printed.map_err(|error| Failure::output(&error))
}

/// Lets go of the caller's session and streams. What goes wrong from now on is said in the log, if there is one.
fn leave_terminal(log: Option<&Path>) -> Result<()> {
    let failed = |error: std::io::Error| Failure::errno("failed to detach", error.raw_os_error().unwrap_or(libc::EIO));
    // Fails only in a process that leads its group already.
    let _ = nix::unistd::setsid();
    let null = File::options().read(true).write(true).open("/dev/null").map_err(failed)?;
    let errors = match log {
        Some(path) => File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| Failure::file("failed to open", path, &e))?,
        None => null.try_clone().map_err(failed)?,
    };
    nix::unistd::dup2_stderr(&errors).map_err(|error| failed(error.into()))?;
    // The command waits for this one.
    nix::unistd::dup2_stdout(&null).map_err(|error| failed(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cookie_of_the_device_opens_it() {
        let said = |device, given| check_cookie(device, given).err().map(|failure| failure.message);
        assert_eq!(said(Some("a"), Some("a")), None);
        assert_eq!(said(None, None), None);
        assert_eq!(said(Some("a"), None).as_deref(), Some("must specify cookie to attach"));
        assert_eq!(said(Some("a"), Some("")).as_deref(), Some("must specify cookie to attach"));
        assert_eq!(said(Some("a"), Some("b")).as_deref(), Some("cookie mismatch"));
        assert_eq!(said(None, Some("b")).as_deref(), Some("kernel does not have cookie support"));
    }
}
