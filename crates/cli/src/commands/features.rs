//! Names of feature bits, flags and operation features, as rbd has them.
use lsd_engine::Features;

/// In the order of their bits.
const NAMES: [(u64, &str); 12] = [
    (Features::LAYERING, "layering"),
    (Features::STRIPINGV2, "striping"),
    (Features::EXCLUSIVE_LOCK, "exclusive-lock"),
    (Features::OBJECT_MAP, "object-map"),
    (Features::FAST_DIFF, "fast-diff"),
    (Features::DEEP_FLATTEN, "deep-flatten"),
    (Features::JOURNALING, "journaling"),
    (Features::DATA_POOL, "data-pool"),
    (Features::OPERATIONS, "operations"),
    (Features::MIGRATING, "migrating"),
    (Features::NON_PRIMARY, "non-primary"),
    (Features::DIRTY_CACHE, "dirty-cache"),
];

/// What a user may ask for when an image is made; the others follow from other options.
const SETTABLE: u64 = Features::LAYERING
    | Features::EXCLUSIVE_LOCK
    | Features::OBJECT_MAP
    | Features::DEEP_FLATTEN
    | Features::JOURNALING;

/// Features that one client at a time uses; a shared image has none of them.
pub const SINGLE_CLIENT: u64 =
    Features::EXCLUSIVE_LOCK | Features::OBJECT_MAP | Features::FAST_DIFF | Features::JOURNALING;

const FLAGS: [(u64, &str); 2] = [(1 << 0, "object map invalid"), (1 << 1, "fast diff invalid")];

const OPERATIONS: [(u64, &str); 4] =
    [(1 << 0, "clone-parent"), (1 << 1, "clone-child"), (1 << 2, "group"), (1 << 3, "snap-trash")];

fn names_of(bits: u64, table: &[(u64, &'static str)]) -> Vec<&'static str> {
    table.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect()
}

pub fn feature_names(bits: u64) -> Vec<&'static str> {
    names_of(bits, &NAMES)
}

pub fn flag_names(bits: u64) -> Vec<&'static str> {
    names_of(bits, &FLAGS)
}

pub fn operation_names(bits: u64) -> Vec<&'static str> {
    names_of(bits, &OPERATIONS)
}

/// Names separated by commas, as `--image-feature` has them. Names that cannot be asked for are accepted and have
/// no effect; object-map brings fast-diff with it. `None` for a name that no feature has.
pub fn parse_requested(text: &str) -> Option<u64> {
    let bits = parse_named(text)? & SETTABLE;
    Some(if bits & Features::OBJECT_MAP != 0 { bits | Features::FAST_DIFF } else { bits })
}

/// The setting `rbd_default_features`: a number, or names separated by commas.
pub fn parse_setting(text: &str) -> Option<u64> {
    text.trim().parse().ok().or_else(|| parse_named(text))
}

/// Names separated by commas; `None` for a name that no feature has.
pub fn parse_named(text: &str) -> Option<u64> {
    let mut bits = 0;
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        bits |= NAMES.iter().find(|(_, known)| *known == name)?.0;
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_features_are_rbd_s() {
        let object_map = Features::OBJECT_MAP | Features::FAST_DIFF;
        assert_eq!(parse_requested("layering,exclusive-lock,object-map"), Some(5 | object_map));
        assert_eq!(parse_requested("layering,exclusive-lock,fast-diff"), Some(5));
        assert_eq!(parse_requested("data-pool"), Some(0));
        assert_eq!(parse_requested(""), Some(0));
        assert_eq!(parse_requested("13"), None);
        assert_eq!(parse_requested("layering,bogus"), None);
    }

    #[test]
    fn the_default_is_a_number_or_names() {
        assert_eq!(parse_setting("61"), Some(61));
        assert_eq!(parse_setting("layering,exclusive-lock,object-map,fast-diff,deep-flatten"), Some(Features::DEFAULT));
        assert_eq!(parse_setting("x"), None);
        assert_eq!(
            feature_names(Features::DEFAULT).join(","),
            "layering,exclusive-lock,object-map,fast-diff,deep-flatten"
        );
    }
}
