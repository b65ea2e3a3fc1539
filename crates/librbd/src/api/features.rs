//! Names of feature bits.
use crate::ffi::caller::{put, put_sized_text, string};
use crate::ffi::errno::{Errno, Outcome};
use crate::ffi::panic::guard;
use lsd_engine::Features;
use std::ffi::{c_char, c_int};

/// In the order of the names, as librbd prints them. EINVAL if a bit is unknown or internal.
pub fn to_text(features: u64) -> Outcome<String> {
    if features & !(Features::ALL & !Features::INTERNAL) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut names = Features(features).names();
    names.sort_unstable();
    Ok(names.join(","))
}

/// A number, or names with commas between; EINVAL if one is unknown or internal.
pub fn from_text(text: &str) -> Outcome<u64> {
    Ok(Features::from_text(text).ok_or(Errno::EINVAL)?.0)
}

pub unsafe extern "C" fn rbd_features_to_string(features: u64, str_features: *mut c_char, size: *mut usize) -> c_int {
    guard(|| {
        let text = to_text(features)?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_sized_text(str_features, size, &text) }
    })
}

pub unsafe extern "C" fn rbd_features_from_string(str_features: *const c_char, features: *mut u64) -> c_int {
    guard(|| {
        // SAFETY: a string and a place by the contract of librbd.h.
        unsafe { put(features, from_text(&string(str_features)?)?) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_librbds_order() {
        assert_eq!(to_text(Features::DEFAULT).unwrap(), "deep-flatten,exclusive-lock,fast-diff,layering,object-map");
        assert_eq!(from_text("layering, exclusive-lock").unwrap(), Features::LAYERING | Features::EXCLUSIVE_LOCK);
        assert_eq!(from_text("61").unwrap(), 61);
    }

    #[test]
    fn unknown_and_internal_features_are_refused() {
        assert_eq!(from_text("layering,nonsense"), Err(Errno::EINVAL));
        assert_eq!(from_text("operations"), Err(Errno::EINVAL));
        assert_eq!(to_text(1 << 40), Err(Errno::EINVAL));
    }
}
