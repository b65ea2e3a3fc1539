use super::*;
use crate::runtime::process::core;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

/// Work that is pending until told, and shows its waker and its polls.
#[derive(Clone, Default)]
struct Watched {
    waker: Arc<Mutex<Option<Waker>>>,
    polls: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
}

impl Watched {
    fn task(&self, mut in_poll: impl FnMut(usize) + Send + 'static) -> Arc<Task> {
        let watched = self.clone();
        Task::new(core().unwrap(), Kind::Operation, async move {
            std::future::poll_fn(move |context| {
                *watched.waker.lock().unwrap() = Some(context.waker().clone());
                in_poll(watched.polls.fetch_add(1, Ordering::SeqCst));
                if watched.ends.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        })
    }

    fn wake(&self) {
        let waker = self.waker.lock().unwrap().clone();
        waker.unwrap().wake();
    }

    fn polls(&self) -> usize {
        self.polls.load(Ordering::SeqCst)
    }

    fn await_polls(&self, polls: usize) {
        for _ in 0..2000 {
            if self.polls() >= polls {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(self.polls(), polls);
    }
}

/// What a thread wakes by its own poll it polls itself, after that poll, and what this wakes as well.
#[test]
fn whoever_wakes_a_task_goes_on_with_it() {
    let (first, second) = (Watched::default(), Watched::default());
    second.task(|_| {}).run();
    let here = thread::current().id();
    let wakes = second.clone();
    let polled_by = Arc::new(Mutex::new(None));
    let seen = polled_by.clone();
    first
        .task(move |poll| {
            if poll == 1 {
                *seen.lock().unwrap() = Some(thread::current().id());
                wakes.wake();
                assert_eq!(wakes.polls(), 1, "inside the poll that woke it");
            }
        })
        .run();
    with_found(|| {
        first.wake();
        assert_eq!(first.polls(), 1, "inside the poll that woke it");
    });
    assert_eq!((first.polls(), second.polls()), (2, 2));
    assert_eq!(*polled_by.lock().unwrap(), Some(here));
}

/// Nobody is at it: the completion thread comes. Woken twice before that, it is polled once.
#[test]
fn a_task_that_is_woken_elsewhere_is_polled() {
    let watched = Watched::default();
    watched.task(|_| {}).run();
    watched.wake();
    watched.await_polls(2);
    watched.ends.store(true, Ordering::SeqCst);
    watched.wake();
    watched.await_polls(3);
    watched.wake();
    thread::sleep(Duration::from_millis(20));
    assert_eq!(watched.polls(), 3, "polled after its end");
}

/// A wake-up during a poll is not lost, and does not make a second thread poll.
#[test]
fn a_wake_up_during_a_poll_leads_to_another() {
    let watched = Watched::default();
    let (woken, wait) = mpsc::channel::<()>();
    let task = watched.task(move |poll| {
        if poll == 0 {
            wait.recv().unwrap();
        }
    });
    let polling = thread::spawn(move || task.run());
    while watched.polls() == 0 {
        thread::yield_now();
    }
    watched.wake();
    watched.wake();
    thread::sleep(Duration::from_millis(20));
    assert_eq!(watched.polls(), 1, "polled by two threads at once");
    woken.send(()).unwrap();
    polling.join().unwrap();
    watched.await_polls(2);
}

/// A task that wakes itself is polled again without another thread, but does not keep a caller's thread.
#[test]
fn a_task_that_wakes_itself_is_polled_again_at_once_a_few_times() {
    let watched = Watched::default();
    let polled_by = Arc::new(Mutex::new(Vec::new()));
    let (again, seen) = (watched.clone(), polled_by.clone());
    let task = watched.task(move |poll| {
        seen.lock().unwrap().push(thread::current().id());
        if poll < 2 * POLLS {
            again.wake();
        }
    });
    task.run();
    watched.await_polls(2 * POLLS + 1);
    let here = thread::current().id();
    let polled_by = polled_by.lock().unwrap();
    assert!(polled_by[..POLLS].iter().all(|thread| *thread == here));
    assert!(polled_by[POLLS..].iter().all(|thread| *thread != here));
}

/// Found tasks are not lost with the poll that found them.
#[test]
fn a_panic_leaves_nothing_behind() {
    let watched = Watched::default();
    watched.task(|_| {}).run();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        with_found(|| {
            watched.wake();
            panic!("as it should");
        })
    }));
    assert!(panicked.is_err());
    watched.await_polls(2);
    with_found(|| watched.wake());
    watched.await_polls(3);
}

/// A synchronous call inside a progress callback is inside a poll of the call that reports progress, and may wait for
/// work that its own thread has just woken.
#[test]
fn a_wait_inside_a_poll_goes_on_with_what_its_thread_has_woken() {
    let core = core().unwrap();
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        core.block_on(async {
            let (ask, asked) = tokio::sync::oneshot::channel::<()>();
            let (answer, answered) = tokio::sync::oneshot::channel::<()>();
            let answers = async move {
                let _ = asked.await;
                let _ = answer.send(());
            };
            Task::new(core, Kind::Background, answers).run();
            core.block_on(async {
                let _ = ask.send(());
                let _ = answered.await;
            });
            // What was woken before the wait began is not left behind either.
            let watched = Watched::default();
            watched.task(|_| {}).run();
            watched.wake();
            core.block_on(async { tokio::task::yield_now().await });
            assert_eq!(watched.polls(), 2);
        });
        done.send(()).unwrap();
    });
    assert_eq!(wait.recv_timeout(Duration::from_secs(20)), Ok(()), "the wait inside never ends");
}
