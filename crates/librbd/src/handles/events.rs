//! The event socket of an image: a caller's eventfd or pipe, and the completions that it polls for.
//!
//! Owns: how the descriptor is made readable. Does not own: when, and that the image stays open for it.
use crate::ffi::ctypes::rbd_completion_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::completion::Completion;
use crate::handles::slab::Ref;
use nix::libc;
use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

const EVENT_TYPE_PIPE: c_int = 1;
const EVENT_TYPE_EVENTFD: c_int = 2;
/// What librbd writes into a pipe, one for each completion.
const PIPE_TOKEN: u8 = b'i';
/// One write into a pipe carries at most this many tokens; more completions take more writes.
const PIPE_TOKENS_AT_ONCE: usize = 256;

#[derive(Clone, Copy)]
enum Kind {
    Pipe,
    EventFd,
}

/// The caller's file descriptor and the completions that wait to be polled.
pub struct EventSocket {
    fd: c_int,
    kind: Kind,
    completed: Mutex<VecDeque<Ref<Completion>>>,
}

impl EventSocket {
    pub fn new(fd: c_int, kind: c_int) -> Outcome<Self> {
        let kind = match kind {
            EVENT_TYPE_PIPE => Kind::Pipe,
            EVENT_TYPE_EVENTFD => Kind::EventFd,
            _ => return Err(Errno::EINVAL),
        };
        if fd < 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self { fd, kind, completed: Mutex::default() })
    }

    pub fn push(&self, completion: Ref<Completion>) {
        self.completed.lock().unwrap_or_else(PoisonError::into_inner).push_back(completion);
    }

    pub fn pop(&self, most: usize) -> Vec<rbd_completion_t> {
        let mut completed = self.completed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = most.min(completed.len());
        completed.drain(..count).map(|completion| completion.handle()).collect()
    }

    /// Makes the descriptor readable for `count` completions. A full pipe or counter is readable anyway, and an error
    /// of the caller's descriptor is the caller's, as with librbd: nothing is reported.
    pub fn wake(&self, count: u64) {
        match self.kind {
            Kind::EventFd => self.write(&kernel_bytes(count)),
            Kind::Pipe => {
                let tokens = [PIPE_TOKEN; PIPE_TOKENS_AT_ONCE];
                let mut left = count as usize;
                while left > 0 {
                    let now = left.min(tokens.len());
                    self.write(&tokens[..now]);
                    left -= now;
                }
            }
        }
    }

    fn write(&self, bytes: &[u8]) {
        loop {
            // SAFETY: the slice is valid for its length; the descriptor is only written to.
            let written = unsafe { libc::write(self.fd, bytes.as_ptr().cast(), bytes.len()) };
            if written >= 0 || std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
                return;
            }
        }
    }
}

/// The eventfd counter as the kernel of this very machine reads it.
#[expect(clippy::host_endian_bytes, reason = "eventfd(2) takes the host's order")]
fn kernel_bytes(count: u64) -> [u8; 8] {
    count.to_ne_bytes()
}
