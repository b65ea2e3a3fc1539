//! What the simulated disk looks like: a few small windows in a large image, and stamps that tell who wrote what.
//!
//! Owns: windows, stamping and decoding content. Does not own: which content is right (`verdict/`).
//!
//! Content is stamped in granules of eight bytes: each says which operation wrote it and where it belongs, so that any
//! content can be read back as "granule, operation". Windows may start at odd addresses.
use bytes::Bytes;
use lsd_engine::ReadData;
use rand::Rng;
use rand::rngs::StdRng;

/// Bytes that carry one stamp.
pub const GRANULE: u64 = 8;
/// Granules of a block of 4 KiB.
const BLOCK_GRANULES: usize = 4096 / GRANULE as usize;
/// Bytes that one map leaf covers: windows lie around its multiples.
const LEAF: u64 = 16 << 20;

/// A part between the first two windows that nobody looks at: what is written there fills segments.
pub const BULK: std::ops::Range<u64> = 4 << 20..12 << 20;

/// Who wrote a granule: the number of an operation.
pub type Stamp = u32;
/// A granule that reads as zeroes.
pub const ZERO: Stamp = 0;
/// A granule with bytes that nobody wrote there.
pub const GARBAGE: Stamp = Stamp::MAX;

/// A window of the image that is written to: its first byte and its first granule.
#[derive(Clone, Copy, Debug)]
struct Window {
    start: u64,
    first: usize,
    granules: usize,
}

/// The part of the image that the run uses.
#[derive(Clone, Debug)]
pub struct Disk {
    windows: Vec<Window>,
    /// Most of the work is blocks of 4 KiB in the first window, as a file system does it: its leaf of the map gets many
    /// runs, and checkpoints store it as patches.
    blocks: bool,
    pub granules: usize,
    /// The image's first size, bytes.
    pub size: u64,
}

impl Disk {
    /// `large`: one window takes writes of several records, or hundreds of blocks.
    pub fn new(random: &mut StdRng, large: bool) -> Self {
        let mut windows = Vec::new();
        let mut first = 0;
        let skew = if random.random_bool(0.5) { random.random_range(1..GRANULE) } else { 0 };
        let blocks = large && skew == 0;
        for leaf in 0..random.random_range(2..4u64) {
            let len = match large && leaf == 0 {
                true if blocks => 2 << 20,
                true => 3 << 20,
                false => random.random_range(4..12u64) * 4096,
            };
            // Around the border of two leaves, but for the first.
            let start =
                if leaf == 0 { random.random_range(0..3u64) * 4096 } else { leaf * LEAF - len / 2 / 4096 * 4096 };
            let granules = (len / GRANULE) as usize;
            windows.push(Window { start: start + skew, first, granules });
            first += granules;
        }
        let end = windows.last().map_or(0, Window::end);
        Self { windows, blocks, granules: first, size: end + random.random_range(0..8192) }
    }

    /// A range inside one window: its first granule and how many.
    pub fn pick(&self, random: &mut StdRng) -> (usize, usize) {
        if self.blocks && random.random_bool(0.9) {
            return self.windows[0].pick_blocks(random);
        }
        let window = &self.windows[random.random_range(0..self.windows.len())];
        let most = window.granules;
        let len = match random.random_range(0..10) {
            0..3 => random.random_range(1..64).min(most),
            3..8 => 512.min(most),
            8 => random.random_range(1..4096).min(most),
            _ => random.random_range(1..=most),
        };
        let mut at = random.random_range(0..=most - len);
        if random.random_bool(0.6) {
            at -= at % 512;
        }
        (window.first + at, len)
    }

    /// True for a disk with hundreds of blocks, which must not be emptied often.
    pub fn has_blocks(&self) -> bool {
        self.blocks
    }

    /// A granule of the last window.
    pub fn pick_last(&self, random: &mut StdRng) -> usize {
        let first = self.windows.last().map_or(0, |window| window.first);
        random.random_range(first..self.granules)
    }

    /// The byte address of a granule.
    pub fn address(&self, granule: usize) -> u64 {
        let window = self.windows.iter().rev().find(|window| window.first <= granule).unwrap_or(&self.windows[0]);
        window.start + (granule - window.first) as u64 * GRANULE
    }

    /// The granules that lie wholly or partly at or beyond a byte address, as the first of them.
    pub fn first_beyond(&self, address: u64) -> usize {
        (0..self.granules)
            .rev()
            .take_while(|granule| self.address(*granule) + GRANULE > address)
            .last()
            .unwrap_or(self.granules)
    }

    /// The bytes of a write of `count` granules of one window.
    pub fn data(&self, stamp: Stamp, first: usize, count: usize) -> Bytes {
        let start = self.address(first);
        let mut data = Vec::with_capacity(count * GRANULE as usize);
        for index in 0..count as u64 {
            data.extend_from_slice(&encode(stamp, start + index * GRANULE).to_le_bytes());
        }
        data.into()
    }

    /// The stamps of a range of one window.
    pub fn decode(&self, first: usize, count: usize, bytes: &[u8]) -> Vec<Stamp> {
        let start = self.address(first);
        let stamp = |(index, bytes): (usize, &[u8])| decode(bytes, start + index as u64 * GRANULE);
        bytes.chunks_exact(GRANULE as usize).take(count).enumerate().map(stamp).collect()
    }

    /// The stamps of everything, from a read of the whole image; what lies beyond its end reads as zeroes. An error where
    /// something outside of the windows has content.
    pub fn decode_all(&self, data: &ReadData) -> Result<Vec<Stamp>, String> {
        let mut found = vec![ZERO; self.granules];
        let mut windows = Vec::with_capacity(self.windows.len());
        windows.extend(self.windows.iter().map(|window| vec![0u8; window.granules * GRANULE as usize]));
        let mut at = 0;
        for piece in &data.pieces {
            let (start, end) = (at, at + piece.len());
            at = end;
            let lsd_engine::ReadPiece::Data(bytes) = piece else { continue };
            let mut covered = BULK.end.min(end).saturating_sub(BULK.start.max(start));
            for (window, content) in self.windows.iter().zip(&mut windows) {
                let (from, to) = (start.max(window.start), end.min(window.end()));
                if from < to {
                    let source = &bytes[(from - start) as usize..(to - start) as usize];
                    content[(from - window.start) as usize..(to - window.start) as usize].copy_from_slice(source);
                    covered += to - from;
                }
            }
            if covered < end - start {
                return Err(format!("bytes {start}..{end} have content that nobody wrote"));
            }
        }
        for (window, content) in self.windows.iter().zip(&windows) {
            let stamps = self.decode(window.first, window.granules, content);
            found[window.first..window.first + window.granules].copy_from_slice(&stamps);
        }
        Ok(found)
    }
}

impl Window {
    /// Whole blocks of an aligned window, mostly one.
    fn pick_blocks(&self, random: &mut StdRng) -> (usize, usize) {
        let blocks = self.granules / BLOCK_GRANULES;
        let count = if random.random_bool(0.9) { 1 } else { random.random_range(1..16) };
        (random.random_range(0..=blocks - count) * BLOCK_GRANULES, count * BLOCK_GRANULES)
    }

    fn end(&self) -> u64 {
        self.start + self.granules as u64 * GRANULE
    }
}

fn encode(stamp: Stamp, address: u64) -> u64 {
    u64::from(stamp) << 32 | u64::from(check(stamp, address))
}

fn decode(bytes: &[u8], address: u64) -> Stamp {
    let value = bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let stamp = (value >> 32) as Stamp;
    match value {
        0 => ZERO,
        _ if stamp != ZERO && value as u32 == check(stamp, address) => stamp,
        _ => GARBAGE,
    }
}

/// Thirty-two bits that no other operation and no other place has but by chance.
fn check(stamp: Stamp, address: u64) -> u32 {
    let mixed = (u64::from(stamp) << 40 ^ address).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}
