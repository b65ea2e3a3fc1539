//! `--quiesce`: what is on a mapped device becomes quiet before each snapshot of its image, by a program that is called as rbd-nbd's hook.
//!
//! Owns: when the hook is called, and what becomes of its failure. Does not own: what it does, who takes snapshots (the engine).
use crate::error::{Failure, Result};
use crate::output::warn;
use lsd_engine::{Image, QuiesceEvent};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Where packages of Ceph have the hook, newer ones first.
const HOOKS: [&str; 2] = ["/usr/libexec/rbd-nbd/rbd-nbd_quiesce", "/usr/lib/rbd-nbd/rbd-nbd_quiesce"];
/// How long the end of a device that nobody serves any more waits for a hook.
const HOOK_PATIENCE: Duration = Duration::from_secs(10);
/// When one that could not be started is tried again.
const HOOK_AGAIN: Duration = Duration::from_secs(1);
/// What is kept of what a hook says that fails.
const MOST_SAID: usize = 1000;

/// The hook where none is named.
pub(super) fn default_hook() -> OsString {
    HOOKS.iter().find(|hook| Path::new(hook).exists()).unwrap_or(&HOOKS[0]).into()
}

/// A device that becomes quiet when it is asked to.
pub(super) struct Quieter {
    image: Image,
    watch: u64,
    ask: mpsc::UnboundedSender<Option<QuiesceEvent>>,
    serving: JoinHandle<()>,
}

impl Quieter {
    /// `device`: as the hook is to know it.
    pub async fn start(image: &Image, hook: OsString, device: String) -> Result<Self> {
        let (ask, asked) = mpsc::unbounded_channel();
        let asking = ask.clone();
        // Fails only when the device is being taken down.
        let listener = Arc::new(move |event| {
            let _ = asking.send(Some(event));
        });
        let watch = image.quiesce_watch(listener).await;
        let watch = watch.map_err(|error| Failure::engine("failed to set up quiesce", &error))?;
        let serving = tokio::spawn(serve(image.clone(), watch, Arc::new(Hook { program: hook, device }), asked));
        Ok(Self { image: image.clone(), watch, ask, serving })
    }

    /// No snapshot waits for the device any more; what the hook has made quiet goes on. It lasts as long as the hook does.
    pub async fn end(self) {
        // Where it is gone already, the image is closed.
        let _ = self.image.quiesce_unwatch(self.watch).await;
        let _ = self.ask.send(None);
        let _ = self.serving.await;
    }
}

/// How the device stops being one that becomes quiet.
pub(super) enum Quieting {
    Never,
    On(Quieter),
    /// Somebody waits for its end, or has given that up.
    Ending(JoinHandle<()>),
}

impl Quieting {
    /// Returns when it has ended. May be dropped and called again.
    pub async fn end(&mut self) {
        *self = match std::mem::replace(self, Self::Never) {
            Self::On(quieter) => Self::Ending(tokio::spawn(quieter.end())),
            other => other,
        };
        if let Self::Ending(ending) = self {
            let _ = ending.await;
            *self = Self::Never;
        }
    }

    /// The same where nobody serves the device any more: a hook may wait for I/O that only another process can serve, which waits for the
    /// end of this one.
    pub async fn end_unserved(&mut self) {
        let _ = tokio::time::timeout(HOOK_PATIENCE, self.end()).await;
    }
}

async fn serve(image: Image, watch: u64, hook: Arc<Hook>, mut asked: mpsc::UnboundedReceiver<Option<QuiesceEvent>>) {
    let mut is_quiet = false;
    while let Some(Some(event)) = asked.recv().await {
        match event {
            QuiesceEvent::Quiesce => {
                let failed = hook.call("quiesce").await.err().map(|failed| hook.tell("quiesce", &failed));
                // What the file system has written on its way is in the snapshot whatever becomes of this; as in rbd-nbd.
                if image.locks().is_owner()
                    && let Err(error) = image.flush().await
                {
                    warn(&format!("{}: {error}", hook.device));
                }
                is_quiet = failed.is_none();
                image.quiesce_complete(watch, failed.unwrap_or(0));
            }
            // What it could not do it is not asked to undo, as in rbd-nbd.
            QuiesceEvent::Unquiesce if is_quiet => {
                is_quiet = false;
                hook.unquiesce().await;
            }
            QuiesceEvent::Unquiesce => {}
        }
    }
    if is_quiet {
        hook.unquiesce().await;
    }
}

struct Hook {
    program: OsString,
    device: String,
}

/// Why a hook did not do what it was called for.
#[derive(Debug)]
enum Failed {
    /// It was not called at all.
    NotStarted(io::Error),
    Exited {
        errno: u32,
        said: String,
    },
}

impl Hook {
    /// Nobody else does it: where the hook cannot be started, it is tried until it can. What it answers is the end of it, as in rbd-nbd.
    async fn unquiesce(self: &Arc<Self>) {
        let mut is_told = false;
        while let Err(failed) = self.call("unquiesce").await {
            if !is_told {
                self.tell("unquiesce", &failed);
            }
            if let Failed::Exited { .. } = failed {
                return;
            }
            is_told = true;
            tokio::time::sleep(HOOK_AGAIN).await;
        }
    }

    async fn call(self: &Arc<Self>, command: &'static str) -> std::result::Result<(), Failed> {
        let hook = self.clone();
        let (tell, told) = oneshot::channel();
        // No thread of the runtime, whose end would wait for a hook that hangs.
        let thread = std::thread::Builder::new().name("hook".to_owned());
        thread.spawn(move || tell.send(hook.run(command))).map_err(Failed::NotStarted)?;
        told.await.unwrap_or_else(|_| Err(Failed::Exited { errno: 1, said: String::new() }))
    }

    fn run(&self, command: &str) -> std::result::Result<(), Failed> {
        let words: [&OsStr; 2] = [self.device.as_ref(), command.as_ref()];
        let mut program = Command::new(&self.program);
        program.args(words).env_remove(super::map::DAEMON_MARK).stdin(Stdio::null()).stdout(Stdio::null());
        let child = program.stderr(Stdio::piped()).spawn().map_err(Failed::NotStarted)?;
        match child.wait_with_output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                // As a shell has it, and rbd-nbd.
                let by_signal = output.status.signal().map_or(1, |signal| 128 + signal);
                let said = String::from_utf8_lossy(&output.stderr).chars().take(MOST_SAID).collect::<String>();
                let errno = output.status.code().unwrap_or(by_signal).unsigned_abs();
                Err(Failed::Exited { errno, said: said.trim().to_owned() })
            }
            Err(error) => Err(Failed::Exited { errno: 1, said: error.to_string() }),
        }
    }

    /// Returns the errno that a snapshot fails with, which is how the hook exited.
    fn tell(&self, command: &str, failed: &Failed) -> u32 {
        let (errno, said) = match failed {
            Failed::Exited { errno, said } => (*errno, said.clone()),
            // What could not be started exits with 1 in rbd-nbd.
            Failed::NotStarted(error) => (1, error.to_string()),
        };
        let (program, device) = (self.program.display(), &self.device);
        tracing::warn!(target: "lsd::api", device = %device, op = command, errno, "the hook failed: {said}");
        warn(&format!("{program} {device} {command} failed with {errno}: {said}"));
        errno
    }
}

#[cfg(test)]
mod tests;
