//! What the packages are made of: installed from these built files, used, switched on and off, removed without a trace.
//! The packages themselves, on a clean Debian: `tests/packages`.
use crate::common::{Cmd, built, scratch_dir};
use std::path::Path;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(150);

#[test]
fn files_are_installed_switched_and_removed() {
    let dir = scratch_dir();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packaging-files");
    let programs = built("lsd");
    let done = Cmd::stock(script).arg(programs.parent().unwrap()).arg(dir.path()).timeout(TIMEOUT).ok();
    assert!(done.text().contains("the files of the packages are as they should be"));
}
