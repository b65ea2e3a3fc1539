//! Ceph's own, unmodified `rbd` on our library: the command lines of the other modules must print what `rbd` prints on the system's,
//! and end with the same code.
//!
//! Owns: what differs. Does not own: the command lines, and how they are compared (`cli_against_rbd.rs`, beside `lsd`).

/// The script and its command line, each with the reason. What is mended must leave the list.
const DIFFERS: &[(&str, &str, &str)] = &[(
    "snap-limits",
    "snap create foo@s3",
    "librbd reports a part of the work before it finds that there are too many",
)];

/// Whether a command line of a script must differ.
pub fn differs(script: &str, line: &str) -> bool {
    DIFFERS.iter().any(|entry| (entry.0, entry.1) == (script, line))
}
