//! What a command is: its words, options and help, and how a command line becomes a call of it.
//!
//! Owns: the description every command gives of itself, finding the command on a command line, parsing its
//! options, help. Does not own: the commands (module `commands`).
use crate::error::Result;
use crate::session::Session;
use futures::future::BoxFuture;

pub mod dispatch;
pub mod help;
pub mod image_args;
pub mod options;
pub mod parsed;

pub use parsed::Parsed;

/// How an option takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// One value; giving the option twice is an error.
    Value,
    /// A value each time it is given.
    Values,
}

/// One option of a command.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    pub long: &'static str,
    pub short: Option<char>,
    pub takes: Takes,
    pub help: &'static str,
    /// Shown without brackets in the usage line.
    pub required: bool,
    /// Shown in the usage line only (an old spelling).
    pub hidden: bool,
}

impl OptionSpec {
    pub const fn value(long: &'static str, help: &'static str) -> Self {
        Self { long, short: None, takes: Takes::Value, help, required: false, hidden: false }
    }

    pub const fn values(long: &'static str, help: &'static str) -> Self {
        Self { takes: Takes::Values, ..Self::value(long, help) }
    }

    pub const fn switch(long: &'static str, help: &'static str) -> Self {
        Self { takes: Takes::Nothing, ..Self::value(long, help) }
    }

    #[must_use]
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
}

/// One positional argument of a command.
#[derive(Clone, Copy, Debug)]
pub struct Positional {
    pub name: &'static str,
    pub help: &'static str,
}

/// What a command does, once its options are parsed.
pub type Run = for<'a> fn(&'a Session, &'a Parsed) -> BoxFuture<'a, Result<()>>;

/// One command as it describes itself.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Such as `["image-meta", "list"]`.
    pub words: &'static [&'static str],
    /// Other words for it; empty if there are none.
    pub alias: &'static [&'static str],
    pub summary: &'static str,
    /// Printed after the options; empty if there is nothing to say.
    pub epilogue: &'static str,
    pub positionals: &'static [Positional],
    /// Groups that several commands share.
    pub options: &'static [&'static [OptionSpec]],
    pub run: Run,
}

/// What a positional argument is called that may be given several times.
const REPEATED: &str = "features";

impl CommandSpec {
    /// True if the last positional argument may be given several times.
    pub fn takes_more(&self) -> bool {
        self.positionals.last().is_some_and(|last| last.name == REPEATED)
    }

    /// Every option, in the order of the help.
    pub fn all_options(&self) -> impl Iterator<Item = &'static OptionSpec> {
        self.options.iter().flat_map(|group| group.iter())
    }
}

#[cfg(test)]
mod tests;
