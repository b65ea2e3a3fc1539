//! Panics of the tasks on this thread: of the engine's own ones nobody would hear otherwise.
use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics of every thread are kept.
pub fn notice() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANIC.with(|panic| *panic.borrow_mut() = Some(info.to_string()));
            before(info);
        }));
    });
}

/// The last panic of this thread, which is forgotten.
pub fn take() -> Option<String> {
    PANIC.with(|panic| panic.borrow_mut().take())
}

/// The last panic of this thread.
pub fn last() -> Option<String> {
    PANIC.with(|panic| panic.borrow().clone())
}
