use super::*;
use crate::runtime::process::core;

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
    let (ran, wait) = std::sync::mpsc::channel();
    let core = core().unwrap();
    deliverer.push_task(Task::new(core, Kind::Background, async move { ran.send(()).unwrap() }), core.handle());
    assert_eq!(wait.recv_timeout(Duration::from_secs(20)), Ok(()));
    deliverer.push_task(Task::new(core, Kind::Operation, async {}), core.handle());
    assert_eq!(deliverer.queue.take_stuck_tasks().len(), 1);
}
