//! Processes that end while librados still works for them.
mod common;

use lsd_rados::{AppendOp, OpFlags, WriteOp};
use std::process::Command;
use std::time::Duration;

const PROCESSES: u64 = 60;
const WAIT: &str = "LSD_RADOS_EXIT_AFTER_US";

/// Each ends a little later after its last handle is gone than the one before; a few per cent of them crash where nobody waits.
#[test]
fn a_process_may_end_while_its_last_operations_do() {
    if common::conf_file("a_process_may_end_while_its_last_operations_do").is_none() {
        return;
    }
    for process in 0..PROCESSES {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "drops_everything_and_ends", "--ignored"]).env(WAIT, (process * 100).to_string());
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "process {process}: {}: {said}", output.status);
    }
}

/// The process. Not a test of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs as another process of the other test"]
async fn drops_everything_and_ends() {
    let Ok(wait) = std::env::var(WAIT) else { return };
    let io = common::pool("drops_everything_and_ends", common::POOL).expect("only called with a cluster");
    let name = common::prefix("exit");
    for _ in 0..4 {
        drop(io.write(&name, AppendOp::new().append([vec![1; 4096].into()]), OpFlags::NONE, "test"));
    }
    drop(io.write(&name, WriteOp::new().remove(), OpFlags::NONE, "test"));
    drop(io);
    std::thread::sleep(Duration::from_micros(wait.parse().expect("microseconds")));
}
