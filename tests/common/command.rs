//! Programs with a time limit. Each runs in a process group of its own, so that its children end with it.
use super::client_library_dir;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a program has to end after SIGTERM before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(5);

pub struct Cmd {
    command: Command,
    stdin: Vec<u8>,
    timeout: Duration,
}

/// A program that ended, with everything it printed.
#[derive(Debug)]
pub struct Finished {
    pub line: String,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub timed_out: bool,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub took: Duration,
}

/// A program that runs on; killed with its children when dropped.
pub struct Running {
    line: String,
    child: Child,
    since: Instant,
    stdout: Output,
    stderr: Output,
    ended: bool,
}

/// What a program has printed so far, collected by a thread.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Cmd {
    /// `program` with the tested librbd first in its library path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        match client_library_dir() {
            Some(dir) => command.env("LD_LIBRARY_PATH", dir),
            None => command.env_remove("LD_LIBRARY_PATH"),
        };
        command.env_remove("CEPH_ARGS").process_group(0);
        Self { command, stdin: Vec::new(), timeout: DEFAULT_TIMEOUT }
    }

    /// `program` with the system's libraries.
    pub fn stock(program: impl AsRef<OsStr>) -> Self {
        let mut cmd = Self::new(program);
        cmd.command.env_remove("LD_LIBRARY_PATH");
        cmd
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub fn dir(mut self, dir: impl AsRef<std::path::Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs it to its end, whatever that is.
    pub fn run(self) -> Finished {
        let timeout = self.timeout;
        self.start().wait(timeout)
    }

    /// Runs it; anything but exit code 0 fails the test with all the program said.
    #[track_caller]
    pub fn ok(self) -> Finished {
        self.run().expect_code(0)
    }

    /// Runs it; it must fail by itself, that is neither succeed nor crash nor hang.
    #[track_caller]
    pub fn fails(self) -> Finished {
        let done = self.run();
        assert!(!done.timed_out && done.signal.is_none() && done.code != Some(0), "expected a plain failure: {done}");
        done
    }

    pub fn start(mut self) -> Running {
        let line = describe(&self.command);
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        if let Some(mut pipe) = child.stdin.take() {
            let bytes = std::mem::take(&mut self.stdin);
            // A program that stops reading early closes the pipe; what it then says is what counts.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let stdout = Output::collect(child.stdout.take().unwrap());
        let stderr = Output::collect(child.stderr.take().unwrap());
        Running { line, child, since: Instant::now(), stdout, stderr, ended: false }
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn text(&self) -> String {
        self.stdout.text()
    }

    /// The same on standard error.
    pub fn errors(&self) -> String {
        self.stderr.text()
    }

    /// Waits until it has printed `text`.
    #[track_caller]
    pub fn wait_for_text(&mut self, text: &str, timeout: Duration) {
        let line = self.line.clone();
        wait_until(&format!("{line} prints {text:?}"), timeout, || {
            let found = self.text().contains(text);
            assert!(found || self.is_alive(), "{line} ended without {text:?}: {}", self.stderr.text());
            found
        });
    }

    /// False once the program has ended.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn signal(&self, signal: Signal) {
        let _ = killpg(Pid::from_raw(self.child.id() as i32), signal);
    }

    /// Ends it politely and returns what it printed.
    pub fn stop(self) -> Finished {
        self.signal(Signal::SIGTERM);
        self.wait(GRACE)
    }

    /// `kill -9`, as a power failure of the client.
    pub fn kill(self) -> Finished {
        self.signal(Signal::SIGKILL);
        self.wait(GRACE)
    }

    pub fn wait(mut self, timeout: Duration) -> Finished {
        let mut timed_out = false;
        let mut until = Instant::now() + timeout;
        let mut next = Signal::SIGTERM;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() >= until {
                timed_out = true;
                self.signal(next);
                next = Signal::SIGKILL;
                until = Instant::now() + GRACE;
            }
            std::thread::sleep(POLL);
        };
        // Children that outlived the program hold its pipes.
        if timed_out || status.signal().is_some() {
            self.signal(Signal::SIGKILL);
        }
        self.ended = true;
        Finished {
            line: self.line.clone(),
            code: status.code(),
            signal: status.signal(),
            timed_out,
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
            took: self.since.elapsed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

impl Finished {
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert!(!self.timed_out && self.code == Some(code), "expected exit code {code}: {self}");
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self}"))
    }

    /// Standard output and error must hold `text` (in any case of letters): an error that a person can act on.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        let all = format!("{}{}", self.text(), self.errors()).to_lowercase();
        assert!(all.contains(&text.to_lowercase()), "expected it to say {text:?}: {self}");
        assert!(!all.contains("panicked at"), "a panic: {self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = match (self.timed_out, self.code, self.signal) {
            (true, ..) => "killed after its time".to_owned(),
            (_, Some(code), _) => format!("exit code {code}"),
            (.., signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        write!(f, "{}\n  {end}, {:.1} s\n--- stdout\n{}", self.line, self.took.as_secs_f64(), tail(&self.text()))?;
        write!(f, "--- stderr\n{}", tail(&self.errors()))
    }
}

/// Waits until `ready` is true; fails the test after `timeout`.
#[track_caller]
pub fn wait_until(what: &str, timeout: Duration, mut ready: impl FnMut() -> bool) {
    let until = Instant::now() + timeout;
    while !ready() {
        assert!(Instant::now() < until, "{what}: not within {} s", timeout.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Output {
    fn collect(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let filled = bytes.clone();
        let thread = std::thread::spawn(move || {
            let mut part = [0; 65536];
            while let Ok(length @ 1..) = pipe.read(&mut part) {
                filled.lock().unwrap().extend_from_slice(&part[..length]);
            }
        });
        Self { bytes, thread: Some(thread) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Everything, once the pipe is closed.
    fn all(&mut self) -> Vec<u8> {
        let _ = self.thread.take().map(JoinHandle::join);
        std::mem::take(&mut self.bytes.lock().unwrap())
    }
}

fn describe(command: &Command) -> String {
    let words: Vec<OsString> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(|word| word.to_owned()).collect();
    words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The last lines of a long output: enough to see what went wrong.
fn tail(text: &str) -> String {
    const LINES: usize = 60;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("{line}\n")).collect()
}
