//! What ends a command: the words for standard error and the exit code.
use std::fmt;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Failure>;

/// A failed command. Its display is the whole line for a person, without the program's name.
#[derive(Debug)]
pub struct Failure {
    /// Empty: everything was said already.
    pub message: String,
    /// False where rbd prints the line without `rbd: ` in front.
    pub prefixed: bool,
    /// 1 for wrong usage, else the errno, as rbd's.
    pub code: i32,
}

/// Exit code of wrong usage (unknown options, missing arguments), as rbd's.
pub const EXIT_USAGE: i32 = 1;

impl Failure {
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { message: message.into(), prefixed: true, code }
    }

    /// Wrong usage of the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(EXIT_USAGE, message)
    }

    /// A wrong argument that rbd finds itself (EINVAL).
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(nix::libc::EINVAL, message)
    }

    /// The line goes out as it is.
    pub fn bare(code: i32, message: impl Into<String>) -> Self {
        Self { message: message.into(), prefixed: false, code }
    }

    /// Everything was printed already; only the exit code is left.
    pub fn silent(code: i32) -> Self {
        Self { message: String::new(), prefixed: false, code }
    }

    /// `WHAT: (2) No such file or directory`.
    pub fn errno(what: &str, errno: i32) -> Self {
        Self::new(errno, format!("{what}: {}", describe_errno(errno)))
    }

    /// An engine error as rbd words it: `WHAT: (2) No such file or directory`. What the engine knows beyond the
    /// errno is appended where the errno alone does not tell (anything but "not there", "there already", ...): who has the lock,
    /// for example.
    pub fn engine(what: &str, error: &lsd_engine::Error) -> Self {
        use lsd_engine::ErrorKind;
        let errno = error.errno();
        let mut message = format!("{what}: {}", describe_errno(errno));
        let plain = matches!(error.kind, ErrorKind::NotFound | ErrorKind::Exists | ErrorKind::Permission);
        let context = error.to_string();
        if !plain && !context.is_empty() {
            message.push_str(": ");
            message.push_str(&context);
        }
        Self::new(errno, message)
    }

    /// Something of this machine. What failed without an errno (a name that cannot be looked up) has words of its own.
    pub fn io(what: &str, error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::errno(what, errno),
            None => Self::new(nix::libc::EIO, format!("{what}: {error}")),
        }
    }

    /// A file or device of this machine.
    pub fn file(what: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::io(&format!("{what} {}", path.display()), error)
    }

    /// Standard output cannot be written (a closed pipe).
    pub fn output(error: &std::io::Error) -> Self {
        Self::io("error writing to stdout", error)
    }
}

/// `(2) No such file or directory`: the C library's words, as Ceph's tools print them.
pub fn describe_errno(errno: i32) -> String {
    // The words of std are the C library's plus " (os error N)".
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    format!("({errno}) {words}")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
