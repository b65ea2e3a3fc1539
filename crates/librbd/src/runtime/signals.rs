//! What several callbacks tell together: at the end of a bunch, and once to whoever is told by more than one of them.
//!
//! Owns: how often each is told. Does not own: whom it is, and how it is told (trait [`Signal`]).

/// Somebody who is told at the end of a bunch of callbacks.
pub trait Signal {
    /// Two signals with the same target are for the same one.
    fn target(&self) -> usize;

    /// Tells of `count` callbacks.
    fn send(&self, count: u64);
}

/// Those who are told at the end of a bunch, and by how many of its callbacks. It keeps each of them until then.
#[derive(Default)]
pub struct Signals(Vec<(Box<dyn Signal>, u64)>);

impl Signals {
    pub fn add(&mut self, signal: impl Signal + 'static) {
        match self.0.iter_mut().find(|(known, _)| known.target() == signal.target()) {
            Some((_, count)) => *count += 1,
            None => self.0.push((Box::new(signal), 1)),
        }
    }

    pub fn send(self) {
        for (signal, count) in self.0 {
            signal.send(count);
        }
    }
}

#[cfg(test)]
mod tests;
