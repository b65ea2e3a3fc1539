//! Names of feature bits, flags and operation features, as rbd has them.
use lsd_engine::Features;

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

pub fn flag_names(bits: u64) -> Vec<&'static str> {
    names_of(bits, &FLAGS)
}

pub fn operation_names(bits: u64) -> Vec<&'static str> {
    names_of(bits, &OPERATIONS)
}

/// Names separated by commas, as `--image-feature` has them. Names that cannot be asked for are accepted and have
/// no effect; object-map brings fast-diff with it. `None` for a name that no feature has.
pub fn parse_requested(text: &str) -> Option<u64> {
    Some(Features(Features::from_names(text)?.0 & SETTABLE).of_new_image().0)
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
}
