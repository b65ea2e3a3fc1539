//! What happened, as lines for a person and as a hash that two runs of one seed share.

/// Where the lines go.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    /// Events so far.
    pub events: u64,
    print: bool,
}

/// Of the FNV-1a hash.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl Trace {
    pub fn new(print: bool) -> Self {
        Self { hash: OFFSET, events: 0, print }
    }

    /// One event: virtual time in milliseconds, the client, what happened to which object, and a detail.
    pub fn note(&mut self, at_ms: u64, client: usize, what: &str, object: &str, detail: &str) {
        self.events += 1;
        let numbers = [at_ms.to_le_bytes(), (client as u64).to_le_bytes()].concat();
        for byte in numbers.iter().chain(what.as_bytes()).chain(object.as_bytes()).chain(detail.as_bytes()) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
        if self.print {
            println!("{:>9}.{:03} client {client:<3} {what:<12} {object} {detail}", at_ms / 1000, at_ms % 1000);
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }
}
