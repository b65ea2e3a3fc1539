//! Commands of rbd that lsd does not have yet. They are known, so that a user learns that, and not that the word is
//! wrong; none of them does anything.
use crate::error::Failure;
use nix::libc;

/// First words of these commands; what stands behind them is not looked at. Some have another word that is known
/// (`snap list`, `trash list`): those are found first.
const NOT_YET: [&str; 24] = [
    "clone",
    "config",
    "deep",
    "device",
    "showmapped",
    "map",
    "unmap",
    "encryption",
    "export-diff",
    "flatten",
    "group",
    "import-diff",
    "journal",
    "merge-diff",
    "migration",
    "mirror",
    "object-map",
    "perf",
    "persistent-cache",
    "pool",
    "snap",
    "sparsify",
    "trash",
    "watch",
];

/// Longer words for such commands that begin with those of one that is there, which they would be taken for.
const NOT_YET_LONGER: [&[&str]; 2] = [&["perf", "image", "iostat"], &["perf", "image", "iotop"]];

/// What a command line fails with that names a command which lsd does not have yet. `known`: so many words name one that it has.
pub fn failure(words: &[&str], known: usize) -> Option<Failure> {
    let is_longer = NOT_YET_LONGER.iter().any(|longer| longer.len() > known && words.starts_with(longer));
    let first = words.first().filter(|word| is_longer || (known == 0 && NOT_YET.contains(word)))?;
    let name = match words.get(1) {
        Some(second) => format!("{first} {second}"),
        None => (*first).to_owned(),
    };
    Some(Failure::errno(&format!("'{name}' is not supported yet"), libc::EOPNOTSUPP))
}
