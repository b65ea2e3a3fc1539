//! Names of feature bits.
use crate::caller::{put, put_sized_text, string};
use crate::errno::{Errno, Outcome};
use crate::panic::guard;
use lsd_engine::Features;
use std::ffi::{c_char, c_int};

/// Sorted by name, which is the order that librbd prints them in.
const NAMES: [(&str, u64); 12] = [
    ("data-pool", Features::DATA_POOL),
    ("deep-flatten", Features::DEEP_FLATTEN),
    ("dirty-cache", Features::DIRTY_CACHE),
    ("exclusive-lock", Features::EXCLUSIVE_LOCK),
    ("fast-diff", Features::FAST_DIFF),
    ("journaling", Features::JOURNALING),
    ("layering", Features::LAYERING),
    ("migrating", Features::MIGRATING),
    ("non-primary", Features::NON_PRIMARY),
    ("object-map", Features::OBJECT_MAP),
    ("operations", Features::OPERATIONS),
    ("striping", Features::STRIPINGV2),
];

/// Features that users neither set nor clear.
const INTERNAL: u64 = Features::OPERATIONS | Features::MIGRATING;
const KNOWN: u64 = Features::ALL & !INTERNAL;

/// EINVAL if a bit is unknown or internal.
pub fn to_text(features: u64) -> Outcome<String> {
    if features & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let named = NAMES.iter().filter(|(_, bit)| features & bit != 0);
    Ok(named.map(|(name, _)| *name).collect::<Vec<_>>().join(","))
}

/// A number, or names with commas between; EINVAL if one is unknown or internal.
pub fn from_text(text: &str) -> Outcome<u64> {
    let features = match text.trim().parse::<u64>() {
        Ok(number) => number,
        Err(_) => {
            let mut all = 0;
            for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
                all |= NAMES.iter().find(|(name, _)| *name == word).ok_or(Errno::EINVAL)?.1;
            }
            all
        }
    };
    if features & !KNOWN == 0 { Ok(features) } else { Err(Errno::EINVAL) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rbd_features_to_string(features: u64, str_features: *mut c_char, size: *mut usize) -> c_int {
    guard(|| {
        let text = to_text(features)?;
        // SAFETY: a buffer of that size by the contract of librbd.h.
        unsafe { put_sized_text(str_features, size, &text) }
    })
}

#[unsafe(no_mangle)]
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
