//! Options by name and as text: what ceph.conf, a pool's metadata or an image's says, checked and taken apart.
//!
//! Owns: which options there are, what their text may be, which level counts more, what an override in metadata may be called.
//! Does not own: what they mean for an open image (`settings.rs`), where their text comes from.
mod defaults;
mod known;

use crate::api::error::invalid;
use crate::{AckMode, Error, Features, Quiesce, Result};
pub(crate) use defaults::DEFAULTS;
pub(crate) use known::Level;
use known::{KNOWN, Kind, Known};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the metadata key of an override starts with; the option's name follows (`conf_rbd_cache`).
pub(crate) const OVERRIDE_PREFIX: &str = "conf_";
/// What a new image becomes, lsd's or RBD's: for a client of `librbd.so.1`, which passes on what is RBD's.
pub const DEFAULT_FORMAT_OPTION: &str = "lsd_default_format";
/// The file of the librbd that it passes it on to. Of the process, so nothing overrides it.
pub const STOCK_LIBRARY_OPTION: &str = "lsd_stock_librbd";
/// What lsd's own options start with: of these a name that nobody knows is a mistake.
const OWN_PREFIX: &str = "lsd_";
/// Options that decide what a crash may take: where one of them is not understood, nothing is acknowledged early.
const DURABILITY: [&str; 6] = [
    "rbd_cache",
    "rbd_cache_policy",
    "rbd_cache_max_dirty",
    "rbd_cache_max_dirty_age",
    "rbd_cache_writethrough_until_flush",
    "lsd_ack",
];

/// The text of an option, understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    Flag(bool),
    Number(u64),
    Seconds(f64),
    /// One of the words that the option knows.
    Word(&'static str),
    /// Text that lsd has no use for.
    Text,
}

/// What one level says: ceph.conf, a pool, or an image. Nothing in it is a default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(BTreeMap<&'static str, Value>);

impl Options {
    /// Reads every option through `get`, which gives an option's text or `None` where it is unset. `Invalid`, with the option's
    /// name: the text is not understood.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut options = Self::default();
        for known in KNOWN.iter().filter(|known| known.counts) {
            if let Some(text) = get(known.name) {
                options.0.insert(known.name, known.parse(&text)?);
            }
        }
        Ok(options)
    }

    /// The overrides in a pool's or an image's metadata. What is not understood (it was written by another program, or for
    /// another version) does not keep an image from being opened: it is told beside, and where it might ask for more durability
    /// the image has all there is.
    pub(crate) fn of_metadata(metadata: &BTreeMap<String, String>) -> (Self, Vec<Error>) {
        let (mut options, mut faults) = (Self::default(), Vec::new());
        for (key, text) in metadata {
            let Some(name) = key.strip_prefix(OVERRIDE_PREFIX) else { continue };
            match find(name).map(|known| (known, known.parse(text))) {
                Some((known, Ok(value))) if known.counts => drop(options.0.insert(known.name, value)),
                Some((_, Ok(_))) => {}
                Some((_, Err(error))) => faults.push(error),
                None => faults.push(unknown(name)),
            }
        }
        let in_doubt = DURABILITY.iter().any(|name| {
            metadata.get(&format!("{OVERRIDE_PREFIX}{name}")).is_some_and(|_| !options.0.contains_key(name))
        });
        if in_doubt {
            options.0.insert("lsd_ack", Value::Word(known::JOURNAL));
        }
        (options, faults)
    }

    /// Takes what a higher level says over this one's. A level that asks for durability gets it whatever is said
    /// below of acknowledging early.
    pub(crate) fn raise(&mut self, higher: &Options) {
        if higher.is_write_through() && !higher.0.contains_key("lsd_ack") {
            self.0.remove("lsd_ack");
        }
        self.0.extend(&higher.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if what is said of librbd's cache means that a write is acknowledged when it is durable.
    pub(crate) fn is_write_through(&self) -> bool {
        self.flag("rbd_cache") == Some(false)
            || self.number("rbd_cache_max_dirty") == Some(0)
            || self.word("rbd_cache_policy") == Some(known::WRITETHROUGH)
    }

    /// True if anything is said of librbd's cache.
    pub(crate) fn says_how_to_acknowledge(&self) -> bool {
        ["rbd_cache", "rbd_cache_policy", "rbd_cache_max_dirty", "lsd_ack"].iter().any(|name| self.0.contains_key(name))
    }

    pub(crate) fn ack(&self) -> Option<AckMode> {
        self.word("lsd_ack").map(|word| if word == known::JOURNAL { AckMode::Journal } else { AckMode::Writeback })
    }

    pub(crate) fn quiesce(&self) -> Option<Quiesce> {
        self.word("rbd_default_snapshot_quiesce_mode").map(|word| match word {
            known::IGNORE_ERROR => Quiesce::IgnoreErrors,
            known::SKIP => Quiesce::Skip,
            _ => Quiesce::Required,
        })
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        match self.0.get(name) {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn seconds(&self, name: &str) -> Option<Duration> {
        match self.0.get(name) {
            Some(Value::Seconds(seconds)) => Some(Duration::try_from_secs_f64(*seconds).unwrap_or(Duration::MAX)),
            _ => None,
        }
    }

    fn word(&self, name: &str) -> Option<&'static str> {
        match self.0.get(name) {
            Some(Value::Word(word)) => Some(word),
            _ => None,
        }
    }
}

/// Checks what is about to become metadata of a pool or an image. `Invalid`: it is an override, and of no option that may be
/// overridden there, or with text that is not understood.
pub(crate) fn check_metadata(key: &str, value: &str, level: Level) -> Result<()> {
    match key.strip_prefix(OVERRIDE_PREFIX) {
        // librbd's rule: the prefix alone is a key like any other.
        None | Some("") => Ok(()),
        Some(name) => match find(name) {
            None => Err(unknown(name)),
            Some(known) if known.level == Level::Pool && level == Level::Image => {
                Err(invalid(format!("option {name:?} is of pools, not of images")))
            }
            Some(known) => known.parse(value).map(drop),
        },
    }
}

/// Whose metadata may override an option; `None`: there is no such option.
pub(crate) fn level_of(name: &str) -> Option<Level> {
    find(name).map(|known| known.level)
}

/// Whether text is understood as a value of an option.
pub(crate) fn is_understood(name: &str, text: &str) -> bool {
    find(name).is_some_and(|known| known.parse(text).is_ok())
}

/// Those of some option names that start as lsd's own do and are none: somebody meant another.
pub fn unknown_options<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let is_unknown =
        |name: &&str| name.starts_with(OWN_PREFIX) && *name != STOCK_LIBRARY_OPTION && find(name).is_none();
    names.into_iter().filter(is_unknown).map(str::to_owned).collect()
}

fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

fn unknown(name: &str) -> Error {
    invalid(format!("there is no option {name:?} to override"))
}

impl Known {
    /// `Invalid`, with the option's name.
    fn parse(&self, text: &str) -> Result<Value> {
        let value = match self.kind {
            Kind::Flag => parse_flag(text).map(Value::Flag).ok_or_else(|| "true or false".to_owned()),
            Kind::Number(least, most) => in_range(parse_number(text), least, most),
            Kind::PowerOfTwo(least, most) => {
                let number = text.trim().parse().ok().filter(|number: &u64| number.is_power_of_two());
                in_range(number, least, most).map_err(|range| format!("a power of two, {range}"))
            }
            Kind::Bytes(least, most) => in_range(parse_size(text), least, most),
            Kind::Seconds => {
                let seconds = text.trim().parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0);
                seconds.map(Value::Seconds).ok_or_else(|| "a number of seconds".to_owned())
            }
            Kind::Word(words) => {
                let word = words.iter().find(|word| **word == text.trim());
                word.map(|word| Value::Word(word)).ok_or_else(|| format!("one of {}", words.join(", ")))
            }
            Kind::Features => {
                let features = Features::from_text(text).map(|features| Value::Number(features.0));
                features.ok_or_else(|| "names of features, or a number".to_owned())
            }
            Kind::Text => Ok(Value::Text),
        };
        value.map_err(|wanted| invalid(format!("option {}: {text:?} is not {wanted}", self.name)))
    }
}

fn in_range(number: Option<u64>, least: u64, most: u64) -> std::result::Result<Value, String> {
    number.filter(|number| (least..=most).contains(number)).map(Value::Number).ok_or_else(|| match (least, most) {
        (0, u64::MAX) => "a number".to_owned(),
        (least, u64::MAX) => format!("a number from {least} on"),
        (least, most) => format!("a number from {least} to {most}"),
    })
}

/// Ceph's words for it, any number (0 is false), and what other programs call it.
fn parse_flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        text => text.parse::<i64>().ok().map(|number| number != 0),
    }
}

/// A number: decimal digits, perhaps with one of Ceph's suffixes for what counts no bytes, which are decimal (`10K` is 10,000).
fn parse_number(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = ["", "K", "M", "G", "T", "P", "E"].iter().position(|known| *known == &text[digits.len()..])?;
    digits.parse::<u64>().ok()?.checked_mul(1000_u64.checked_pow(power as u32)?)
}

/// Bytes: decimal digits, perhaps with one of Ceph's suffixes, which are all binary (`64K`, `4M`, `1Gi`).
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = text[digits.len()..].to_ascii_uppercase();
    let unit = suffix.trim_end_matches('B').trim_end_matches('I');
    let power = ["", "K", "M", "G", "T", "P", "E"].iter().position(|known| *known == unit)?;
    if unit.is_empty() && suffix.len() > 1 {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << (10 * power))
}

#[cfg(test)]
mod tests;
