//! Feature bits of an image and their names, as in librbd's `rbd/features.h`.
//!
//! lsd keeps the bits for clients that look at them; what the log gives (locking, knowing which ranges have content)
//! does not depend on them.

/// Feature bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    pub const LAYERING: u64 = 1 << 0;
    pub const STRIPINGV2: u64 = 1 << 1;
    pub const EXCLUSIVE_LOCK: u64 = 1 << 2;
    pub const OBJECT_MAP: u64 = 1 << 3;
    pub const FAST_DIFF: u64 = 1 << 4;
    pub const DEEP_FLATTEN: u64 = 1 << 5;
    pub const JOURNALING: u64 = 1 << 6;
    pub const DATA_POOL: u64 = 1 << 7;
    pub const OPERATIONS: u64 = 1 << 8;
    pub const MIGRATING: u64 = 1 << 9;
    pub const NON_PRIMARY: u64 = 1 << 10;
    pub const DIRTY_CACHE: u64 = 1 << 11;
    /// librbd's default since Luminous (`rbd_default_features` = 61).
    pub const DEFAULT: u64 =
        Self::LAYERING | Self::EXCLUSIVE_LOCK | Self::OBJECT_MAP | Self::FAST_DIFF | Self::DEEP_FLATTEN;
    pub const ALL: u64 = (1 << 12) - 1;
    /// Operation features (`rbd_get_op_features`): a snapshot has clones that do not protect it.
    pub const OP_CLONE_PARENT: u64 = 1 << 0;
    /// The image is such a clone.
    pub const OP_CLONE_CHILD: u64 = 1 << 1;
    /// The image is in a group.
    pub const OP_GROUP: u64 = 1 << 2;
    /// A snapshot that was removed is kept for its clones.
    pub const OP_SNAP_TRASH: u64 = 1 << 3;
    /// Features that users neither set nor clear.
    pub const INTERNAL: u64 = Self::OPERATIONS | Self::MIGRATING;
    /// Features that follow from the layout, from others or from what becomes of the image: asking for them when it is made has
    /// no effect.
    const IMPLIED: u64 =
        Self::STRIPINGV2 | Self::DATA_POOL | Self::FAST_DIFF | Self::INTERNAL | Self::NON_PRIMARY | Self::DIRTY_CACHE;

    /// In the order of the bits.
    const NAMES: [(u64, &'static str); 12] = [
        (Self::LAYERING, "layering"),
        (Self::STRIPINGV2, "striping"),
        (Self::EXCLUSIVE_LOCK, "exclusive-lock"),
        (Self::OBJECT_MAP, "object-map"),
        (Self::FAST_DIFF, "fast-diff"),
        (Self::DEEP_FLATTEN, "deep-flatten"),
        (Self::JOURNALING, "journaling"),
        (Self::DATA_POOL, "data-pool"),
        (Self::OPERATIONS, "operations"),
        (Self::MIGRATING, "migrating"),
        (Self::NON_PRIMARY, "non-primary"),
        (Self::DIRTY_CACHE, "dirty-cache"),
    ];

    /// Names of the known bits, in the order of the bits.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMES.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| *name).collect()
    }

    /// Names with commas between; `None` for a name that no feature has.
    pub fn from_names(text: &str) -> Option<Self> {
        let mut bits = 0;
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            bits |= Self::NAMES.iter().find(|(_, known)| *known == name)?.0;
        }
        Some(Self(bits))
    }

    /// A number, or names with commas between, as the setting `rbd_default_features` has them; `None` if a feature is
    /// unknown or internal.
    pub fn from_text(text: &str) -> Option<Self> {
        let number = text.trim().parse().ok().map(Self);
        number
            .or_else(|| Self::from_names(text))
            .filter(|features| features.0 & !Self::ALL == 0 && !features.internal())
    }

    /// librbd's rule about what a new image has of what was asked for: fast-diff comes with object-map and not without it.
    pub fn of_new_image(self) -> Self {
        let asked = self.0 & !Self::IMPLIED;
        Self(if asked & Self::OBJECT_MAP != 0 { asked | Self::FAST_DIFF } else { asked })
    }

    fn internal(self) -> bool {
        self.0 & Self::INTERNAL != 0
    }
}

#[cfg(test)]
mod tests;
