use super::*;
use crate::runtime::process::core;
use std::sync::mpsc;

/// A deliverer whose thread does nothing, so that its state is what the test makes it.
fn idle() -> Deliverer {
    Deliverer { queue: Arc::default(), thread: thread::current().id() }
}

/// While a callback runs, the runtime takes what others wait for at once, and a caller's operations only later.
#[test]
fn what_others_wait_for_does_not_wait_for_a_callback() {
    let deliverer = idle();
    let mut waiting = deliverer.queue.waiting.lock().unwrap();
    (waiting.in_callbacks, waiting.watched) = (true, true);
    drop(waiting);
    let (ran, wait) = mpsc::channel();
    let core = core().unwrap();
    deliverer.push_task(Task::new(core, Kind::Background, async move { ran.send(()).unwrap() }), core.handle());
    assert_eq!(wait.recv_timeout(Duration::from_secs(20)), Ok(()));
    deliverer.push_task(Task::new(core, Kind::Operation, async {}), core.handle());
    assert_eq!(deliverer.queue.take_stuck_tasks().len(), 1);
}

/// However many wait for a callback to return, the runtime's workers have other work to do.
#[test]
fn waiting_for_callbacks_blocks_no_worker() {
    let core = core().unwrap();
    let (release, wait) = mpsc::channel::<()>();
    core.deliverer.push(move || assert!(wait.recv().is_ok()));
    let flushes: Vec<_> = (0..16).map(|_| core.handle().spawn(core.deliverer.flushed())).collect();
    let (ran, run) = mpsc::channel();
    core.handle().spawn(async move { ran.send(()) });
    assert_eq!(run.recv_timeout(Duration::from_secs(20)), Ok(()), "the workers wait for a callback");
    assert!(flushes.iter().all(|flush| !flush.is_finished()));
    release.send(()).unwrap();
    core.block_on(async {
        for flush in flushes {
            flush.await.unwrap();
        }
    });
}
