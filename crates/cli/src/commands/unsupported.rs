//! Commands of rbd that lsd does not have yet. They are known, so that a user learns that, and not that the word is
//! wrong; none of them does anything.
use crate::error::Failure;
use nix::libc;

/// First words of these commands; what stands behind them is not looked at.
const NOT_YET: [&str; 5] = ["encryption", "journal", "mirror", "persistent-cache", "watch"];

/// Longer words for such commands that begin with those of one that is there, which they would be taken for.
const NOT_YET_LONGER: [&[&str]; 8] = [
    &["perf", "image", "iostat"],
    &["perf", "image", "iotop"],
    &["trash", "purge", "schedule", "add"],
    &["trash", "purge", "schedule", "list"],
    &["trash", "purge", "schedule", "ls"],
    &["trash", "purge", "schedule", "remove"],
    &["trash", "purge", "schedule", "rm"],
    &["trash", "purge", "schedule", "status"],
];

/// What a command line fails with that names a command which lsd does not have yet. `known`: so many words name one that it has.
pub fn failure(words: &[&str], known: usize) -> Option<Failure> {
    let longer = NOT_YET_LONGER.iter().find(|longer| longer.len() > known && words.starts_with(longer));
    let first = words.first().filter(|word| known == 0 && NOT_YET.contains(word));
    let name = match (longer, first) {
        (Some(longer), _) => longer[..longer.len() - 1].join(" "),
        (None, Some(_)) => words[..words.len().min(2)].join(" "),
        (None, None) => return None,
    };
    Some(Failure::errno(&format!("'{name}' is not supported yet"), libc::EOPNOTSUPP))
}
