//! `rbd_image_options_t`: the bag of options for creating and copying images.
use crate::ffi::caller::{put, put_text, string};
use crate::ffi::ctypes::rbd_image_options_t;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::entry::guard;
use crate::handles::slab::{Handled, Ref, Slab};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    pub const MIRROR_IMAGE_MODE: c_int = 13;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Number(u64),
}

#[derive(Debug, Default)]
pub struct ImageOptions(Mutex<BTreeMap<c_int, Value>>);

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

impl ImageOptions {
    fn values(&self) -> MutexGuard<'_, BTreeMap<c_int, Value>> {
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

/// Whether an option is text; EINVAL for an unknown one.
fn is_text(option: c_int) -> Outcome<bool> {
    match option {
        name::JOURNAL_POOL | name::DATA_POOL => Ok(true),
        name::FORMAT..=name::MIRROR_IMAGE_MODE => Ok(false),
        _ => Err(Errno::EINVAL),
    }
}

fn expect_text(option: c_int, text: bool) -> Outcome<()> {
    if is_text(option)? == text { Ok(()) } else { Err(Errno::EINVAL) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_image_options_create(opts: *mut rbd_image_options_t) {
    guard(|| {
        // SAFETY: a place for a handle by the contract of librbd.h.
        unsafe { put(opts, OPTIONS.insert(ImageOptions::default())?.handle()) }.map(drop)
    });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_image_options_destroy(opts: rbd_image_options_t) {
    guard(|| OPTIONS.remove(opts).map(drop));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_image_options_set_string(
    opts: rbd_image_options_t,
    optname: c_int,
    optval: *const c_char,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        expect_text(optname, true)?;
        // SAFETY: a string by the contract of librbd.h.
        options.values().insert(optname, Value::Text(unsafe { string(optval) }?));
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_image_options_set_uint64(opts: rbd_image_options_t, optname: c_int, optval: u64) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        expect_text(optname, false)?;
        options.set_number(optname, optval);
        Ok(0)
    })
}

/// ENOENT if it is not set, E2BIG if it does not fit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_image_options_get_string(
    opts: rbd_image_options_t,
    optname: c_int,
    optval: *mut c_char,
    maxlen: usize,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        expect_text(optname, true)?;
        let text = options.text(optname).ok_or(Errno::ENOENT)?;
        // SAFETY: `maxlen` bytes by the contract of librbd.h.
        unsafe { put_text(optval, maxlen, &text) }
            .map_err(|errno| if errno == Errno::ERANGE { Errno::E2BIG } else { errno })?;
        Ok(0)
    })
}

/// ENOENT if it is not set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_image_options_get_uint64(
    opts: rbd_image_options_t,
    optname: c_int,
    optval: *mut u64,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        expect_text(optname, false)?;
        // SAFETY: a place for a number by the contract of librbd.h.
        unsafe { put(optval, options.number(optname).ok_or(Errno::ENOENT)?) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_image_options_is_set(
    opts: rbd_image_options_t,
    optname: c_int,
    is_set: *mut bool,
) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        is_text(optname)?;
        // SAFETY: a place for a bool by the contract of librbd.h.
        unsafe { put(is_set, options.values().contains_key(&optname)) }
    })
}

/// ENOENT if it is not set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_image_options_unset(opts: rbd_image_options_t, optname: c_int) -> c_int {
    guard(|| {
        let options = options_of(opts)?;
        is_text(optname)?;
        options.values().remove(&optname).map(|_| 0).ok_or(Errno::ENOENT)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_image_options_clear(opts: rbd_image_options_t) {
    guard(|| options_of(opts).map(|options| options.values().clear()));
}

/// 1 if nothing is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_image_options_is_empty(opts: rbd_image_options_t) -> c_int {
    guard(|| Ok(c_int::from(options_of(opts)?.values().is_empty())))
}
