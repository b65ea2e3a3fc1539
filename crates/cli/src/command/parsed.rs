//! The options and positional arguments of one call, parsed by clap and reported in rbd's words.
use super::{CommandSpec, OptionSpec, Takes};
use crate::error::{Failure, Result};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Name of clap's catch-all for positional arguments.
const POSITIONALS: &str = "\u{1}positionals";

/// A parsed command line. Positional arguments are taken one after another; a part that an option gave already
/// leaves its positional argument to the next part, as rbd does it.
#[derive(Debug)]
pub struct Parsed {
    matches: ArgMatches,
    positionals: Vec<String>,
    next: AtomicUsize,
}

impl Parsed {
    /// Wrong usage is exit code 1, with rbd's words.
    pub fn parse(spec: &CommandSpec, args: &[String]) -> Result<Self> {
        let mut command = Command::new("lsd").no_binary_name(true).disable_help_flag(true).disable_version_flag(true);
        for option in spec.all_options() {
            command = command.arg(clap_arg(option));
        }
        command = command.arg(Arg::new(POSITIONALS).num_args(0..));
        let matches = command.try_get_matches_from(args).map_err(|error| usage_failure(&error))?;
        let positionals: Vec<String> = matches.get_many::<String>(POSITIONALS).into_iter().flatten().cloned().collect();
        if positionals.len() > spec.positionals.len() && !spec.takes_more() {
            return Err(Failure::usage("too many arguments"));
        }
        Ok(Self { matches, positionals, next: AtomicUsize::new(0) })
    }

    pub fn has(&self, option: &str) -> bool {
        matches!(self.matches.try_get_one::<bool>(option), Ok(Some(true)))
    }

    pub fn get(&self, option: &str) -> Option<&str> {
        self.matches.try_get_one::<String>(option).ok().flatten().map(String::as_str)
    }

    /// Every value of an option that may be given several times.
    pub fn get_all(&self, option: &str) -> Vec<&str> {
        let values = self.matches.try_get_many::<String>(option).ok().flatten();
        values.into_iter().flatten().map(String::as_str).collect()
    }

    /// An option's value as `parse` understands it; exit code 1 if it does not.
    pub fn get_with<T>(&self, option: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>> {
        self.get(option).map(|text| parse(text).ok_or_else(|| invalid_value(option))).transpose()
    }

    /// A number of 64 bits as rbd reads it, which takes a negative one for its complement (-1 is the largest).
    pub fn number(&self, option: &str) -> Result<Option<u64>> {
        let Some(text) = self.get(option) else { return Ok(None) };
        let number = match text.strip_prefix('-') {
            Some(digits) => digits.parse().map(u64::wrapping_neg),
            None => text.parse(),
        };
        let wrong = |_| Failure::usage(format!("the argument ('{text}') for option '--{option}' is invalid"));
        number.map(Some).map_err(wrong)
    }

    /// The next positional argument that nobody took yet, which is left there.
    pub fn peek_positional(&self) -> Option<&str> {
        self.positionals.get(self.next.load(Ordering::Relaxed)).map(String::as_str)
    }

    /// The next positional argument that nobody took yet.
    pub fn next_positional(&self) -> Option<&str> {
        let index = self.next.load(Ordering::Relaxed);
        let value = self.positionals.get(index)?;
        self.next.store(index + 1, Ordering::Relaxed);
        Some(value)
    }
}

/// rbd's words for a value that it cannot read.
pub fn invalid_value(option: &str) -> Failure {
    Failure::usage(format!("the argument for option '--{option}' is invalid"))
}

fn clap_arg(option: &OptionSpec) -> Arg {
    let arg = Arg::new(option.long).long(option.long);
    let arg = match option.short {
        Some(short) => arg.short(short),
        None => arg,
    };
    match option.takes {
        Takes::Nothing => arg.action(ArgAction::SetTrue),
        Takes::Value => arg.action(ArgAction::Set).num_args(1).allow_negative_numbers(true),
        Takes::Values => arg.action(ArgAction::Append).num_args(1),
    }
}

fn usage_failure(error: &clap::Error) -> Failure {
    let arg = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    };
    // clap shows an option with its value (`--size <size>`); rbd names the long option alone.
    let name = arg.split([' ', '=']).next().unwrap_or_default();
    let no_value =
        matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if value.is_empty());
    match error.kind() {
        ErrorKind::UnknownArgument => Failure::usage(format!("unrecognised option '{name}'")),
        ErrorKind::ArgumentConflict => Failure::usage(format!("option '{name}' cannot be specified more than once")),
        ErrorKind::InvalidValue if no_value => {
            Failure::usage(format!("the required argument for option '{name}' is missing"))
        }
        ErrorKind::TooManyValues => Failure::usage(format!("option '{name}' does not take any arguments")),
        _ => Failure::usage(format!("the argument for option '{name}' is invalid")),
    }
}
