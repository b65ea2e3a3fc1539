use super::*;
use crate::runtime::core;

/// A deliverer whose thread does nothing, so that its state is what the test makes it.
fn idle() -> Deliverer {
    Deliverer { queue: Arc::default(), thread: thread::current().id() }
}

fn task() -> Arc<Task> {
    Task::new(core().unwrap(), Patience::Waits, async {})
}

/// While a callback runs, the runtime takes what others wait for at once, and a caller's operations only later.
#[test]
fn what_others_wait_for_does_not_wait_for_a_callback() {
    let deliverer = idle();
    set(&deliverer, |waiting| (waiting.in_callbacks, waiting.watched) = (true, true));
    let (ran, wait) = std::sync::mpsc::channel();
    let core = core().unwrap();
    deliverer.push_task(Task::new(core, Patience::None, async move { ran.send(()).unwrap() }), core.handle());
    assert_eq!(wait.recv_timeout(Duration::from_secs(20)), Ok(()));
    deliverer.push_task(task(), core.handle());
    assert_eq!(deliverer.queue.take_stuck_tasks().len(), 1);
}

fn set(deliverer: &Deliverer, change: impl FnOnce(&mut Waiting)) {
    change(&mut deliverer.queue.waiting.lock().unwrap());
}

/// Nobody would come to it soon: not while the thread sleeps, for new reads wake nobody, and not while a callback runs.
#[test]
fn new_reads_are_left_only_to_a_thread_that_is_awake() {
    let deliverer = idle();
    set(&deliverer, |waiting| waiting.thread_sleeps = true);
    assert!(deliverer.push_new_task(task()).is_some());
    set(&deliverer, |waiting| (waiting.thread_sleeps, waiting.in_callbacks) = (false, true));
    assert!(deliverer.push_new_task(task()).is_some());
    set(&deliverer, |waiting| waiting.in_callbacks = false);
    assert!(deliverer.push_new_task(task()).is_none());
    assert_eq!(deliverer.queue.wait().len(), 1);
}

#[test]
fn a_caller_starts_its_reads_itself_when_enough_wait() {
    let deliverer = idle();
    let taken = (0..2 * WAITING_READS).filter(|_| deliverer.push_new_task(task()).is_none()).count();
    assert_eq!(taken, WAITING_READS);
    assert_eq!(deliverer.queue.wait().len(), WAITING_READS);
}
