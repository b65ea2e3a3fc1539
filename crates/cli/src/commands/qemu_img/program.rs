//! A run of `qemu-img`.
//!
//! Owns: the child, which ends with whoever waits for it, and what its words mean for us. Does not own: its arguments.
use crate::error::{Failure, Result, describe_errno};
use nix::libc;
use std::io::{ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use tokio::task::JoinHandle;

const NAME: &str = "qemu-img";
/// Linux has no errno beyond it.
const LAST_ERRNO: i32 = 133;

/// Killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

impl Program {
    /// `ENOENT`, with the package that has it: it is not there.
    pub fn start<'a>(args: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut command = Command::new(NAME);
        // Its words are looked at. A group of its own: what a terminal's keys ask of us we ask of it in our own time.
        command.args(args).env("LC_ALL", "C").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let hint = "for qcow2 install qemu-utils (Debian, Ubuntu) or qemu-img (Fedora, RHEL, SUSE qemu-tools)";
                Failure::new(libc::ENOENT, format!("there is no {NAME}: {hint}"))
            }
            _ => Failure::io(&format!("cannot start {NAME}"), &error),
        })?;
        let stdout = collected(child.stdout.take());
        let stderr = collected(child.stderr.take());
        Ok(Self { child, stdout, stderr })
    }

    /// Its exit code, if it was not killed, and what it said on standard error.
    pub async fn ended(mut self) -> Result<(Option<i32>, String)> {
        let words = self.words().await;
        Ok((self.status()?, words))
    }

    /// What it printed, if it went well.
    pub async fn output(mut self) -> Result<Vec<u8>> {
        let words = self.words().await;
        let printed = (&mut self.stdout).await.unwrap_or_default();
        match self.status()? {
            Some(0) => Ok(printed),
            _ => Err(failure_of(&words)),
        }
    }

    /// It is at its end, or nearly so, once it says nothing any more.
    async fn words(&mut self) -> String {
        let bytes = (&mut self.stderr).await.unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    fn status(&mut self) -> Result<Option<i32>> {
        let status = self.child.wait().map_err(|error| Failure::io(NAME, &error))?;
        Ok(status.code())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail where it was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collected(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        // What was read before an error counts.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        bytes
    })
}

/// In its own words. The exit code is the errno with whose words they end; where they tell none, the input was wrong.
fn failure_of(words: &str) -> Failure {
    let last = words.lines().last().unwrap_or_default();
    if last.is_empty() {
        return Failure::new(libc::EIO, format!("{NAME} was killed"));
    }
    let ends_with = |errno: &i32| {
        let description = describe_errno(*errno);
        description.split_once(") ").is_some_and(|(_, text)| last.ends_with(text))
    };
    let code = (1..=LAST_ERRNO).find(ends_with).unwrap_or(libc::EINVAL);
    Failure::new(code, words.lines().collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_an_errno() {
        let full = failure_of("qemu-img: error while writing at byte 65536: No space left on device\n");
        assert_eq!(full.code, libc::ENOSPC);
        assert_eq!(full.message, "qemu-img: error while writing at byte 65536: No space left on device");
        let other = failure_of("qemu-img: a warning\nqemu-img: Could not open 'x': Image is not in qcow2 format\n");
        assert_eq!(other.code, libc::EINVAL);
        assert_eq!(other.message, "qemu-img: a warning; qemu-img: Could not open 'x': Image is not in qcow2 format");
        assert_eq!(failure_of("").code, libc::EIO);
    }
}
