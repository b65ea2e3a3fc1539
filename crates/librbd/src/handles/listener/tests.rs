use super::*;
use crate::runtime::process::core;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

unsafe extern "C" fn count(calls: *mut c_void) {
    // SAFETY: each test gives a counter that outlives its listener.
    unsafe { &*calls.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
}

fn counting(calls: &AtomicUsize) -> Arc<Listener> {
    Arc::new(Listener::new(count, std::ptr::from_ref(calls).cast_mut().cast()))
}

/// News that were on their way when their listener ended find it ended, however late they are queued.
#[test]
fn a_listener_that_ended_is_not_called() {
    let calls = AtomicUsize::new(0);
    let listener = counting(&calls);
    let deliver = |listener: &Arc<Listener>| {
        let called = listener.clone();
        core().unwrap().deliverer.push(move || called.call());
    };
    deliver(&listener);
    core().unwrap().deliverer.flush();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    // The engine has cloned its list of listeners, the caller takes this one back, and only then the news is queued.
    listener.end();
    core().unwrap().deliverer.flush();
    deliver(&listener);
    core().unwrap().deliverer.flush();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}
