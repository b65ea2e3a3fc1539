//! Who may write the image: the advisory lock, the takeover that is safe without it, and what clients tell each other.
//!
//! Owns: those three, and who of them is quiet while a snapshot is taken. Does not own: when this handle wants the image or gives it away (`session/`).
pub(crate) mod lock;
pub(crate) mod mailbox;
pub(crate) mod quiet;
pub(crate) mod takeover;
pub(crate) mod watch;
