use super::*;
use std::cell::RefCell;
use std::rc::Rc;

/// (Target, callbacks) of each signal that was sent.
type Sent = Rc<RefCell<Vec<(usize, u64)>>>;

struct Noted(usize, Sent);

impl Signal for Noted {
    fn target(&self) -> usize {
        self.0
    }

    fn send(&self, count: u64) {
        self.1.borrow_mut().push((self.0, count));
    }
}

#[test]
fn each_target_is_told_once_of_all_its_callbacks() {
    let sent = Sent::default();
    let mut signals = Signals::default();
    for target in [7, 8, 7, 7] {
        signals.add(Noted(target, sent.clone()));
    }
    assert!(sent.borrow().is_empty(), "told before the end of the bunch");
    // One of each is kept until it is told: whoever waits for it to be let go waits for that.
    assert_eq!(Rc::strong_count(&sent), 1 + 2);
    signals.send();
    assert_eq!(*sent.borrow(), [(7, 3), (8, 1)]);
    assert_eq!(Rc::strong_count(&sent), 1);
}
