//! `rbd_image_options_t`: the bag of options for creating and copying images.
//!
//! Owns: the numbers of options and the values that are set. Does not own: which of them are text, and what they mean
//! (layer `api`).
use crate::ffi::ctypes::rbd_image_options_t;
use crate::ffi::errno::Outcome;
use crate::handles::slab::{Handled, Ref, Slab};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The names (numbers) of options, as in librbd.h.
pub mod name {
    use std::ffi::c_int;
    pub const FORMAT: c_int = 0;
    pub const FEATURES: c_int = 1;
    pub const ORDER: c_int = 2;
    pub const STRIPE_UNIT: c_int = 3;
    pub const STRIPE_COUNT: c_int = 4;
    pub const JOURNAL_POOL: c_int = 7;
    pub const FEATURES_SET: c_int = 8;
    pub const FEATURES_CLEAR: c_int = 9;
    pub const DATA_POOL: c_int = 10;
    pub const FLATTEN: c_int = 11;
    pub const CLONE_FORMAT: c_int = 12;
    pub const MIRROR_IMAGE_MODE: c_int = 13;
    /// Not librbd's: `lsd` or `rbd`, what the image becomes. Far from where librbd's may grow to.
    pub const LSD_FORMAT: c_int = 0x6c73_6400;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(u64),
}

#[derive(Debug, Default)]
pub struct ImageOptions(Arc<Mutex<BTreeMap<c_int, Value>>>);

static OPTIONS: Slab<ImageOptions> = Slab::new();

impl Handled for ImageOptions {
    const TAG: u64 = 0xe;
    fn slab() -> &'static Slab<Self> {
        &OPTIONS
    }
}

/// The options of a handle; null is no options, as in librbd's internal use.
pub fn options_of(handle: rbd_image_options_t) -> Outcome<Ref<ImageOptions>> {
    OPTIONS.get(handle)
}

/// Takes a handle away from its caller.
pub fn take_options(handle: rbd_image_options_t) -> Outcome<Ref<ImageOptions>> {
    OPTIONS.remove(handle)
}

impl ImageOptions {
    /// A new handle without options.
    pub fn register() -> Outcome<Ref<ImageOptions>> {
        OPTIONS.insert(ImageOptions::default())
    }

    /// Another handle of the same options.
    pub fn share(&self) -> Outcome<Ref<ImageOptions>> {
        OPTIONS.insert(ImageOptions(self.0.clone()))
    }

    pub fn values(&self) -> MutexGuard<'_, BTreeMap<c_int, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn number(&self, option: c_int) -> Option<u64> {
        match self.values().get(&option) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub fn text(&self, option: c_int) -> Option<String> {
        match self.values().get(&option) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    pub fn set_number(&self, option: c_int, number: u64) {
        self.values().insert(option, Value::Number(number));
    }
}
