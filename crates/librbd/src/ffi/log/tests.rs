//! Telling a person of an error does no harm where nobody listens.
use super::line;
use std::process::{Command, Stdio};

/// `eprintln!` panics where standard error cannot be written to: a pipe whose reader is gone (a daemon's log was restarted), a full
/// disk (`/dev/full` is that). `with_image` catches it and poisons the image, so the first error worth telling, say a pool that was
/// full for a moment, is the end of the image, and its completion never comes where an asynchronous operation told it.
#[test]
fn telling_of_an_error_is_no_error() {
    const CHILD: &str = "LSD_TELLING_CHILD";
    if std::env::var_os(CHILD).is_some() {
        line(&"told to nobody");
        return;
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let told = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ffi::log::tests::telling_of_an_error_is_no_error", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(full)
        .status()
        .unwrap();
    assert!(told.success(), "a line that cannot be written is a panic");
}
