//! Manual pages and shell completion, written from the same definitions as `--help`.
//!
//! Owns: which files there are and what is in them. Does not own: what commands and options there are (module `commands`,
//! the usage text of `lsd-nbd`).
use crate::error::{Failure, Result};
use clap::Command;
use clap_complete::{Shell, generate};
use std::path::Path;

mod lsd;
mod manual;
mod usage;

/// Folders below the one that is asked for.
const MANUAL: &str = "man";
const SHELLS: [(&str, Shell); 3] = [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];

/// Writes all of them below a folder, which is made. What is there in the same names is written over.
pub(crate) fn write_all(folder: &Path) -> Result<()> {
    let nbd = usage::parse(&crate::nbd_cmd::usage_text());
    let mut lsd = lsd::tree();
    for (name, text) in manual::of_tree(&mut lsd)? {
        put(folder, MANUAL, &name, text.as_bytes())?;
    }
    put(folder, MANUAL, "lsd-nbd.8", manual::of_usage(&nbd).as_bytes())?;
    for (shell, kind) in SHELLS {
        put(folder, shell, &file_of("lsd", kind), &completion(&mut lsd, "lsd", kind))?;
        put(folder, shell, &file_of("lsd-nbd", kind), &completion(&mut nbd.tree(), "lsd-nbd", kind))?;
    }
    Ok(())
}

fn completion(command: &mut Command, program: &str, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, command, program, &mut script);
    script
}

/// What each shell wants such a file to be called.
fn file_of(program: &str, shell: Shell) -> String {
    match shell {
        Shell::Zsh => format!("_{program}"),
        Shell::Fish => format!("{program}.fish"),
        _ => program.to_owned(),
    }
}

fn put(folder: &Path, part: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let folder = folder.join(part);
    std::fs::create_dir_all(&folder).map_err(|error| Failure::file("failed to make", &folder, &error))?;
    let path = folder.join(name);
    std::fs::write(&path, bytes).map_err(|error| Failure::file("failed to write", &path, &error))
}

#[cfg(test)]
mod tests;
