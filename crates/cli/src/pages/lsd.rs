//! The commands of `lsd` as one tree of clap's: words below words, with what each command says of itself.
use crate::command::{CommandSpec, OptionSpec, Takes, help};
use crate::commands;
use clap::{Arg, ArgAction, Command};
use std::collections::BTreeMap;

/// A word of commands: a command, or the beginning of some.
#[derive(Default)]
struct Word {
    spec: Option<&'static CommandSpec>,
    below: BTreeMap<&'static str, Word>,
}

/// Every command that the overview lists.
pub(super) fn tree() -> Command {
    let mut root = Word::default();
    for spec in commands::listed() {
        put(&mut root, spec.words, spec);
        // `map` is `device map`: a command of its own.
        if !spec.alias.is_empty() && spec.alias.len() != spec.words.len() {
            put(&mut root, spec.alias, spec);
        }
    }
    let mut command = Command::new("lsd")
        .about("manage log-structured virtual disks in Ceph pools and in directories")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .arg(Arg::new("help").long("help").short('h').action(ArgAction::SetTrue).help("show help"))
        .arg(Arg::new("version").long("version").short('v').action(ArgAction::SetTrue).help("show version"));
    for (name, text) in help::OVERVIEW_OPTIONS {
        command = command.arg(global(name, text));
    }
    for (name, word) in root.below {
        command = command.subcommand(subcommand(name, word));
    }
    command
}

fn put(root: &mut Word, words: &'static [&'static str], spec: &'static CommandSpec) {
    let place = words.iter().fold(root, |word, next| word.below.entry(next).or_default());
    place.spec = Some(spec);
}

fn subcommand(name: &'static str, word: Word) -> Command {
    let mut command = Command::new(name).disable_help_flag(true).disable_version_flag(true);
    command = command.disable_help_subcommand(true);
    command = match word.spec {
        Some(spec) => described(command, spec),
        None => {
            let words: Vec<&str> = word.below.keys().copied().collect();
            command.about(format!("{name}: {}", words.join(", ")))
        }
    };
    for (name, word) in word.below {
        command = command.subcommand(subcommand(name, word));
    }
    command
}

fn described(mut command: Command, spec: &'static CommandSpec) -> Command {
    command = command.about(spec.summary).after_long_help(spec.epilogue);
    // Every other name of as many words differs in its last one only, which a test sees to.
    if let Some(other) = spec.alias.last().filter(|_| spec.alias.len() == spec.words.len()) {
        command = command.visible_alias(*other);
    }
    for option in spec.all_options() {
        command = command.arg(argument(option));
    }
    let last = spec.positionals.len();
    for (index, positional) in spec.positionals.iter().enumerate() {
        // Options and positional arguments may have one name.
        let mut arg = Arg::new(format!("<{}>", positional.name)).value_name(positional.name).help(positional.help);
        if index + 1 == last && spec.takes_more() {
            arg = arg.num_args(0..);
        }
        command = command.arg(arg);
    }
    command
}

fn argument(option: &OptionSpec) -> Arg {
    let mut arg = Arg::new(option.long).long(option.long).help(option.help).hide(option.hidden);
    if let Some(short) = option.short {
        arg = arg.short(short);
    }
    match option.takes {
        Takes::Nothing => arg.action(ArgAction::SetTrue),
        Takes::Value => arg.value_name(option.long),
        Takes::Values => arg.value_name(option.long).action(ArgAction::Append),
    }
}

/// An option as the overview writes it: `-c [ --conf ] arg`, `--cluster arg`.
fn global(name: &'static str, text: &'static str) -> Arg {
    let mut arg = Arg::new(name).help(text).action(ArgAction::SetTrue);
    for word in name.split_whitespace() {
        if let Some(long) = word.strip_prefix("--") {
            arg = arg.long(long);
        } else if let Some(short) = word.strip_prefix('-').and_then(|rest| rest.chars().next()) {
            arg = arg.short(short);
        } else if word == "arg" {
            arg = arg.action(ArgAction::Set).value_name("arg");
        }
    }
    arg
}
