//! What a new image may look like to its clients: order, striping and features, their defaults and librbd's rules about
//! them (`librbd/image/CreateRequest.cc`).
//!
//! Owns: defaults and rules. Does not own: the words and numbers in which callers ask, pools by name.
use crate::api::error::invalid;
use crate::api::options::parse_size;
use crate::{CreateOptions, Error, ErrorKind, Features, ImageInfo, Result};

const DEFAULT_ORDER: u8 = 22;
const ORDERS: std::ops::RangeInclusive<u8> = 12..=25;
const MIN_STRIPE_UNIT_BYTES: u64 = 512;

/// A layout that follows the rules, with nothing left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) order: u8,
    pub(crate) features: u64,
    /// Bytes.
    pub(crate) stripe_unit: u64,
    pub(crate) stripe_count: u64,
}

impl CreateOptions {
    /// The defaults: `rbd_default_order`, `_features`, `_stripe_unit` and `_stripe_count`, read through `get`. `Invalid`, with
    /// the option's name: its text is not understood.
    pub fn from_settings(get: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let bad = |key: &str, text: &str| invalid(format!("option {key}: {text:?} is not understood"));
        let number = |key: &str| {
            get(key)
                .map(|text| parse_size(&text).ok_or_else(|| bad(key, &text)))
                .transpose()
                .map(Option::unwrap_or_default)
        };
        // What is beyond any order stays beyond it, so that creating such an image fails.
        let order = match get("rbd_default_order") {
            Some(_) => u8::try_from(number("rbd_default_order")?).unwrap_or(u8::MAX),
            None => DEFAULT_ORDER,
        };
        let features = match get("rbd_default_features") {
            Some(text) => Features::from_text(&text).ok_or_else(|| bad("rbd_default_features", &text))?.0,
            None => Features::DEFAULT,
        };
        Ok(Self {
            order,
            features,
            stripe_unit: number("rbd_default_stripe_unit")?,
            stripe_count: number("rbd_default_stripe_count")?,
            ..Self::default()
        })
    }

    /// The size and layout of another image. Striping that is none is left open, so that it follows another order.
    pub fn like(source: &ImageInfo) -> Self {
        let striped = source.features & Features::STRIPINGV2 != 0;
        Self {
            size: source.size,
            order: source.order,
            features: source.features & !(Features::DATA_POOL | Features::STRIPINGV2),
            stripe_unit: if striped { source.stripe_unit } else { 0 },
            stripe_count: if striped { source.stripe_count } else { 0 },
            ..Self::default()
        }
    }
}

/// Applies the rules. `separate_data`: the log goes to another pool than the header. `Unimplemented` (features that librbd
/// does not know), `Invalid`, `Domain` (order).
pub(crate) fn of(options: &CreateOptions, separate_data: bool) -> Result<Layout> {
    if options.features & !Features::ALL != 0 {
        return Err(Error::new(ErrorKind::Unimplemented, "librbd does not support requested features"));
    }
    let asked = Features(options.features).of_new_image().0;
    check_features(asked)?;
    let order = options.order;
    if !ORDERS.contains(&order) {
        return Err(Error::new(ErrorKind::Domain, format!("order {order} is outside 12..=25")));
    }
    let object = 1u64 << order;
    let (unit, count) = (options.stripe_unit, options.stripe_count);
    if (unit == 0) != (count == 0) {
        return Err(invalid("must specify both (or neither) of stripe-unit and stripe-count"));
    }
    if unit != 0 && !object.is_multiple_of(unit) {
        return Err(invalid("stripe unit is not a factor of the object size"));
    }
    if unit != 0 && unit < MIN_STRIPE_UNIT_BYTES {
        return Err(invalid("stripe unit must be at least 512 bytes"));
    }
    let (stripe_unit, stripe_count) = if unit == 0 { (object, 1) } else { (unit, count) };
    let mut features = asked;
    if stripe_unit != object || stripe_count != 1 {
        features |= Features::STRIPINGV2;
    }
    if separate_data {
        features |= Features::DATA_POOL;
    }
    Ok(Layout { order, features, stripe_unit, stripe_count })
}

fn check_features(features: u64) -> Result<()> {
    let has = |bit: u64| features & bit != 0;
    if has(Features::OBJECT_MAP) && !has(Features::EXCLUSIVE_LOCK) {
        return Err(invalid("cannot use object map without exclusive lock"));
    }
    if has(Features::JOURNALING) && !has(Features::EXCLUSIVE_LOCK) {
        return Err(invalid("cannot use journaling without exclusive lock"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
