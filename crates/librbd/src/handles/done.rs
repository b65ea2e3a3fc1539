//! The end of an asynchronous operation.
//!
//! Owns: the order in which its caller learns of it, as librbd's: the callback, then the completion appears among the
//! events of the image, then it counts as complete and waiters wake. Does not own: the thread that callbacks run on
//! (module `deliver`).
use crate::handles::completion::Completion;
use crate::handles::image::InFlight;
use crate::handles::slab::Ref;
use crate::runtime::deliver::Deliver;
use crate::runtime::process::Core;
use crate::runtime::signals::Signals;

/// An operation that has ended.
pub struct Done {
    pub completion: Ref<Completion>,
    /// `None` for operations that an image does not count: open and close.
    pub image: Option<InFlight>,
    /// What the caller gets: a length, 0, or a negative errno.
    pub result: i64,
}

impl Done {
    /// Ends the operation: on the completion thread if there is a callback, else here and now.
    pub fn send(self, core: &Core) {
        if self.completion.has_callback() {
            core.deliverer.push(self);
        } else {
            let mut signals = Signals::default();
            self.finish(&mut signals);
            signals.send();
        }
    }

    /// Runs the callback and completes; event sockets are written by `signals`.
    fn finish(self, signals: &mut Signals) {
        let completion = &self.completion;
        Completion::call_back(completion, self.result);
        match self.image {
            Some(image) if image.queue_event(completion) => {
                completion.complete();
                signals.add(image);
            }
            // The image is let go only after the completion is complete: rbd_close waits for that.
            image => {
                completion.complete();
                drop(image);
            }
        }
    }
}

impl Deliver for Done {
    fn deliver(self: Box<Self>, signals: &mut Signals) {
        self.finish(signals);
    }
}
