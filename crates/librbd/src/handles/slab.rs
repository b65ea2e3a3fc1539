//! Handles: what a C caller holds instead of a pointer.
//!
//! Owns: the memory of the objects behind `rbd_image_t`, `rbd_completion_t` and `rbd_image_options_t`, and the check
//! that a handle is alive. A handle names a slot and the slot's generation, so a closed, released, foreign or
//! invented handle is an error and never a memory access. Slots are pooled and never given back to the system. Does
//! not own: what the objects mean.
use crate::ffi::errno::Errno;
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Slots that are allocated together.
const CHUNK_SLOTS: u32 = 1024;
/// With [`CHUNK_SLOTS`] the most objects of one kind at a time (1 Mi); beyond it creating one gives ENOMEM.
const MAX_CHUNKS: usize = 1024;
const GENERATION_BITS: u32 = 28;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;
/// In a slot's word: the C caller still holds the handle.
const HELD: u64 = 1 << 31;
const REFERENCES_MASK: u64 = HELD - 1;

/// A kind of object that lives behind handles.
pub trait Handled: Send + Sync + Sized + 'static {
    /// Tells handles of different kinds apart; 4 bits.
    const TAG: u64;
    fn slab() -> &'static Slab<Self>;
}

struct Slot<T> {
    /// `generation << 32 | HELD | references`; the value is there while references are not 0.
    word: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written while nobody else can see the slot (no references), and read by shared reference
// or dropped by the last reference otherwise; `T` itself is Send and Sync.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

#[derive(Debug, Default)]
struct Free {
    reusable: Vec<u32>,
    /// Slots from here on were never used.
    fresh: u32,
}

/// Every object of one kind.
pub struct Slab<T> {
    chunks: [OnceLock<Box<[Slot<T>]>>; MAX_CHUNKS],
    free: Mutex<Free>,
}

impl<T: Handled> Slab<T> {
    pub const fn new() -> Self {
        Self {
            chunks: [const { OnceLock::new() }; MAX_CHUNKS],
            free: Mutex::new(Free { reusable: Vec::new(), fresh: 0 }),
        }
    }

    /// Puts a value behind a new handle. ENOMEM when there are too many.
    pub fn insert(&'static self, value: T) -> Result<Ref<T>, Errno> {
        let index = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            match free.reusable.pop() {
                Some(index) => index,
                None if free.fresh as usize / (CHUNK_SLOTS as usize) < MAX_CHUNKS => {
                    free.fresh += 1;
                    free.fresh - 1
                }
                None => return Err(Errno::ENOMEM),
            }
        };
        let slot = self.slot(index);
        // SAFETY: the slot came from the free list and has no references, so nobody else reads or writes it.
        unsafe { (*slot.value.get()).write(value) };
        let generation = slot.word.load(Ordering::Relaxed) & !u64::from(u32::MAX);
        // One reference belongs to the handle, one to the returned guard.
        slot.word.store(generation | HELD | 2, Ordering::Release);
        Ok(Ref { slot, index })
    }

    fn slot(&'static self, index: u32) -> &'static Slot<T> {
        let chunk = self.chunks[(index / CHUNK_SLOTS) as usize].get_or_init(|| {
            (0..CHUNK_SLOTS)
                .map(|_| Slot { word: AtomicU64::new(0), value: UnsafeCell::new(MaybeUninit::uninit()) })
                .collect()
        });
        &chunk[(index % CHUNK_SLOTS) as usize]
    }

    fn existing(&'static self, index: u32) -> Option<&'static Slot<T>> {
        let chunk = self.chunks.get((index / CHUNK_SLOTS) as usize)?.get()?;
        chunk.get((index % CHUNK_SLOTS) as usize)
    }

    /// Whether a handle is of this kind, alive or not.
    #[inline]
    pub fn is_kind(handle: *mut c_void) -> bool {
        handle as usize as u64 >> (32 + GENERATION_BITS) == T::TAG
    }

    fn find(&'static self, handle: *mut c_void) -> Result<(&'static Slot<T>, u32, u64), Errno> {
        if handle.is_null() {
            return Err(Errno::EINVAL);
        }
        let bits = handle as usize as u64;
        let number = (bits & u64::from(u32::MAX)) as u32;
        if !Self::is_kind(handle) || number == 0 {
            return Err(Errno::EBADF);
        }
        let slot = self.existing(number - 1).ok_or(Errno::EBADF)?;
        Ok((slot, number - 1, (bits >> 32) & GENERATION_MASK))
    }

    /// The object of a live handle. EINVAL for a null handle, EBADF for one that is closed or never was.
    pub fn get(&'static self, handle: *mut c_void) -> Result<Ref<T>, Errno> {
        let (slot, index, generation) = self.find(handle)?;
        slot.update(generation, |word| word + 1)?;
        Ok(Ref { slot, index })
    }

    /// Ends a handle; the object lives until the last guard is dropped. Errors as [`Self::get`].
    pub fn remove(&'static self, handle: *mut c_void) -> Result<Ref<T>, Errno> {
        let (slot, index, generation) = self.find(handle)?;
        slot.update(generation, |word| word & !HELD)?;
        Ok(Ref { slot, index })
    }

    fn recycle(&'static self, slot: &'static Slot<T>, index: u32) {
        // SAFETY: the last reference is gone and the handle is not held, so nobody can reach the value any more.
        unsafe { (*slot.value.get()).assume_init_drop() };
        let generation = ((slot.word.load(Ordering::Relaxed) >> 32) + 1) & GENERATION_MASK;
        slot.word.store(generation << 32, Ordering::Release);
        self.free.lock().unwrap_or_else(PoisonError::into_inner).reusable.push(index);
    }
}

impl<T> Slot<T> {
    /// Changes the word if the handle of this generation is still held.
    fn update(&self, generation: u64, change: impl Fn(u64) -> u64) -> Result<(), Errno> {
        let alive = |word: u64| word >> 32 == generation && word & HELD != 0;
        self.word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| alive(word).then(|| change(word)))
            .map(drop)
            .map_err(|_| Errno::EBADF)
    }
}

/// Keeps an object alive.
pub struct Ref<T: Handled> {
    slot: &'static Slot<T>,
    index: u32,
}

impl<T: Handled> Ref<T> {
    /// The handle that C callers hold, whether they still hold it or not.
    pub fn handle(&self) -> *mut c_void {
        let generation = self.slot.word.load(Ordering::Relaxed) >> 32;
        let bits = T::TAG << (32 + GENERATION_BITS) | generation << 32 | u64::from(self.index + 1);
        bits as usize as *mut c_void
    }
}

impl<T: Handled> Clone for Ref<T> {
    fn clone(&self) -> Self {
        self.slot.word.fetch_add(1, Ordering::Relaxed);
        Self { slot: self.slot, index: self.index }
    }
}

impl<T: Handled> Deref for Ref<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this reference is counted in the slot's word, so the value is initialised and not dropped.
        unsafe { (*self.slot.value.get()).assume_init_ref() }
    }
}

impl<T: Handled> Drop for Ref<T> {
    fn drop(&mut self) {
        let before = self.slot.word.fetch_sub(1, Ordering::AcqRel);
        if before & REFERENCES_MASK == 1 {
            T::slab().recycle(self.slot, self.index);
        }
    }
}

#[cfg(test)]
mod tests;
