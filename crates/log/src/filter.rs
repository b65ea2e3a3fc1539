//! The text of a level: which events become lines.
//!
//! Owns: what is understood and what is not. Does not own: comparing events with it (`tracing_subscriber`).
use std::fmt;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// What the targets of our own events begin with.
const OWN_TARGETS: &str = "lsd";

/// Text that is no level, and no list of targets with levels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongLevel(String);

impl fmt::Display for WrongLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        write!(f, "{text:?} is not off, error, warn, info, debug, trace, or a list such as lsd::append=debug,warn")
    }
}

impl std::error::Error for WrongLevel {}

/// A level, or a list as `RUST_LOG` has it: `TARGET=LEVEL` for some targets, and `LEVEL` for all others. `None`: nothing is wanted.
pub(crate) fn parse(text: &str) -> Result<Option<Targets>, WrongLevel> {
    let wrong = || WrongLevel(text.to_owned());
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if matches!(parts[..], [""]) {
        return Ok(None);
    }
    if !parts.iter().all(|part| is_directive(part)) {
        return Err(wrong());
    }
    let targets: Targets = parts.join(",").parse().map_err(|_| wrong())?;
    let asks = targets.iter().any(|(_, level)| level != LevelFilter::OFF)
        || targets.default_level().is_some_and(|level| level != LevelFilter::OFF);
    Ok(asks.then_some(targets))
}

/// A word alone is a level, or one of our targets with all its events: any other word is a level with a mistake in it.
fn is_directive(part: &str) -> bool {
    match part.split_once('=') {
        Some((target, level)) => !target.is_empty() && is_level(level),
        None => is_level(part) || part.starts_with(OWN_TARGETS),
    }
}

fn is_level(text: &str) -> bool {
    // An empty text would be a level, too.
    !text.is_empty() && text.parse::<LevelFilter>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_level_is_for_every_target() {
        let info = parse(" info ").unwrap().unwrap();
        assert!(info.would_enable("lsd::append", &Level::INFO) && info.would_enable("lsd::api", &Level::ERROR));
        assert!(!info.would_enable("lsd::append", &Level::DEBUG));
        assert!(parse("WARN").unwrap().unwrap().would_enable("lsd::api", &Level::WARN));
    }

    #[test]
    fn targets_have_levels_of_their_own() {
        let list = parse("warn, lsd::append=debug,lsd::gc").unwrap().unwrap();
        assert!(list.would_enable("lsd::append", &Level::DEBUG) && !list.would_enable("lsd::append", &Level::TRACE));
        assert!(list.would_enable("lsd::gc", &Level::TRACE));
        assert!(list.would_enable("lsd::api", &Level::WARN) && !list.would_enable("lsd::api", &Level::INFO));
    }

    #[test]
    fn off_is_nothing_at_all() {
        for text in ["", "  ", "off", "OFF", "lsd=off,off"] {
            assert_eq!(parse(text), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn a_mistake_is_no_target() {
        for text in ["inof", "info,", "=info", "lsd::append=", "lsd::append=dbug", "verbose,warn"] {
            assert_eq!(parse(text), Err(WrongLevel(text.to_owned())), "{text:?}");
        }
    }
}
