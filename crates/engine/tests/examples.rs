//! The examples say what they did, and exit with 0 only if it went well. `cargo test` builds them, but not with `--test examples`
//! alone.
use std::process::Command;

/// What an example printed.
fn run(name: &str) -> String {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.exists(), "no example {name}: `cargo build -p lsd-engine --examples` makes it");
    let out = Command::new(program).output().unwrap();
    let (said, failed) = (String::from_utf8(out.stdout).unwrap(), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{name}: {}\n{said}{failed}", out.status);
    said
}

#[test]
fn what_was_written_is_there_when_the_image_is_opened_again() {
    let said = run("write_and_reopen");
    assert!(said.ends_with("opened it again: all 100 blocks are as they were left\n"), "{said}");
    // One page of records for many blocks: a hundred batches of one block each would carry a hundred pages.
    let words: Vec<&str> = said.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "given").unwrap();
    let given: u64 = words[at + 1].parse().unwrap();
    assert!((100 * 4096..110 * 4096).contains(&given), "{said}");
}

#[test]
fn what_was_flushed_survives_a_crash() {
    let said = run("crash_and_recover");
    assert!(said.ends_with("it took the image over, wrote and closed; a check finds no damage\n"), "{said}");
}
