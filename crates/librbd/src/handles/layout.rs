//! The layout of an image: how its addresses are spread over what clients see as its objects.
//!
//! Owns: librbd's striping. Does not own: where bytes really are (engine): no object is laid out like this.
use lsd_engine::ImageInfo;

/// How an image's addresses are spread over what clients see as its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes.
    pub object_size: u64,
    /// Bytes; a factor of the object size.
    pub stripe_unit: u64,
    pub stripe_count: u64,
}

impl Layout {
    pub fn of(info: &ImageInfo) -> Self {
        let object_size = 1 << info.order;
        let stripe_unit = if info.stripe_unit == 0 { object_size } else { info.stripe_unit };
        Self { object_size, stripe_unit, stripe_count: info.stripe_count.max(1) }
    }

    /// Bytes of the image in one set of objects that are striped together.
    pub fn period(&self) -> u64 {
        self.object_size * self.stripe_count
    }

    /// How many objects an image of that size is spread over: those striped together are used from the first on.
    pub fn objects(&self, size: u64) -> u64 {
        let (whole, rest) = (size / self.period(), size % self.period());
        whole * self.stripe_count + rest.div_ceil(self.stripe_unit).min(self.stripe_count)
    }

    /// Each object is one piece of the image.
    pub fn plain(&self) -> bool {
        self.stripe_count == 1 || self.stripe_unit == self.object_size
    }

    /// (object, offset in it, bytes to the end of the stripe unit) of an image address.
    pub fn locate(&self, offset: u64) -> (u64, u64, u64) {
        let unit = offset / self.stripe_unit;
        let stripe = unit / self.stripe_count;
        let units_per_object = self.object_size / self.stripe_unit;
        let set = stripe / units_per_object;
        let object = set * self.stripe_count + unit % self.stripe_count;
        let in_unit = offset % self.stripe_unit;
        (object, stripe % units_per_object * self.stripe_unit + in_unit, self.stripe_unit - in_unit)
    }

    /// The image address of a byte of an object.
    pub fn address(&self, object: u64, offset: u64) -> u64 {
        let units_per_object = self.object_size / self.stripe_unit;
        let set = object / self.stripe_count;
        let stripe = set * units_per_object + offset / self.stripe_unit;
        let unit = stripe * self.stripe_count + object % self.stripe_count;
        unit * self.stripe_unit + offset % self.stripe_unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_counted_as_far_as_something_is_in_them() {
        let striped = Layout { object_size: 64, stripe_unit: 8, stripe_count: 3 };
        for (size, objects) in [(0, 0), (1, 1), (8, 1), (9, 2), (17, 3), (192, 3), (193, 4), (384, 6), (400, 8)] {
            assert_eq!(striped.objects(size), objects, "{size}");
        }
        let plain = Layout { object_size: 64, stripe_unit: 64, stripe_count: 1 };
        for (size, objects) in [(0, 0), (1, 1), (64, 1), (65, 2), (640, 10)] {
            assert_eq!(plain.objects(size), objects, "{size}");
        }
    }

    #[test]
    fn locate_and_address_are_inverse() {
        let layout = Layout { object_size: 64, stripe_unit: 8, stripe_count: 3 };
        for byte in 0..1000 {
            let (object, within, _) = layout.locate(byte);
            assert_eq!(layout.address(object, within), byte);
        }
    }
}
