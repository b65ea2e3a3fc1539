//! A usage text as data: the commands and options that it tells of.
//!
//! `lsd-nbd` takes its words apart by itself, as rbd-nbd does, and has its text for `--help` only. So that text is the
//! definition.
use clap::{Arg, ArgAction, Command};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Called {
    pub name: String,
    /// The command with its arguments.
    pub call: String,
    pub help: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub section: String,
    /// As the text writes it: `--conf/-c FILE`.
    pub written: String,
    pub help: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub commands: Vec<Called>,
    pub options: Vec<Told>,
    /// Paragraphs between them.
    pub notes: Vec<String>,
}

/// What options are called that stand under no heading of their own.
const GENERAL: &str = "Options";

/// What the line before was, to which a line that stands far in belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Command,
    Option,
    Note,
}

/// A line that begins further in goes on with the help of the line before it.
const HELP_INDENT: usize = 20;

/// Takes apart a text in the layout of rbd-nbd's: `Usage:` and a command a line, headings that end with `options:`,
/// options with their help behind at least two spaces or on the lines below. An empty line ends what a heading is for.
pub(super) fn parse(text: &str) -> Usage {
    let mut usage = Usage::default();
    let mut section = GENERAL.to_owned();
    let (mut in_commands, mut last) = (false, Last::Nothing);
    for line in text.lines() {
        let (indent, trimmed) = (line.len() - line.trim_start().len(), line.trim());
        if trimmed.is_empty() {
            (section, in_commands, last) = (GENERAL.to_owned(), false, Last::Nothing);
        } else if indent == 0 && trimmed.ends_with("ptions:") {
            section = trimmed.trim_end_matches(':').to_owned();
        } else if let Some(first) = line.strip_prefix("Usage:") {
            let first = first.trim();
            usage.commands.push(called(first.split_once(' ').map_or(first, |(_program, call)| call)));
            (in_commands, last) = (true, Last::Command);
        } else if indent >= HELP_INDENT && matches!(last, Last::Command | Last::Option) {
            let help = match last {
                Last::Command => usage.commands.last_mut().map(|command| &mut command.help),
                _ => usage.options.last_mut().map(|option| &mut option.help),
            };
            help.into_iter().for_each(|help| append(help, trimmed));
        } else if in_commands {
            usage.commands.push(called(trimmed));
            last = Last::Command;
        } else if trimmed.starts_with('-') {
            let (written, help) = option_columns(trimmed);
            usage.options.push(Told { section: section.clone(), written: written.to_owned(), help: help.to_owned() });
            last = Last::Option;
        } else {
            match usage.notes.last_mut().filter(|_| last == Last::Note) {
                Some(note) => append(note, trimmed),
                None => usage.notes.push(trimmed.to_owned()),
            }
            last = Last::Note;
        }
    }
    usage
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

/// What stands before the first two spaces, and what behind them.
fn columns(line: &str) -> (&str, &str) {
    line.split_once("  ").map_or((line, ""), |(left, right)| (left, right.trim_start()))
}

/// Where an option is too long for its column, one space is all that stands between its value, in capitals, and its help.
fn option_columns(line: &str) -> (&str, &str) {
    let (left, right) = columns(line);
    if !right.is_empty() {
        return (left, right);
    }
    let is_value =
        |word: &&str| !word.starts_with('-') && !word.ends_with(',') && !word.chars().any(char::is_lowercase);
    let words: Vec<&str> = line.splitn(3, ' ').collect();
    match words.as_slice() {
        [name, value, help] if is_value(value) => (&line[..name.len() + 1 + value.len()], help),
        _ => (line, ""),
    }
}

fn called(line: &str) -> Called {
    let (call, help) = columns(line);
    let name = call.split(' ').find(|word| !word.starts_with('[')).unwrap_or_default();
    Called { name: name.to_owned(), call: call.to_owned(), help: help.to_owned() }
}

impl Usage {
    /// As a tree of clap's. Its options stand anywhere, so every command has all of them, each once.
    pub fn tree(&self) -> Command {
        let mut root = Command::new("lsd-nbd").disable_help_flag(true).disable_version_flag(true);
        let mut known = Vec::new();
        for option in &self.options {
            for way in option.written.split(", ") {
                let Some(arg) = argument(way, &option.help) else { continue };
                if !known.contains(arg.get_id()) {
                    known.push(arg.get_id().clone());
                    root = root.arg(arg);
                }
            }
        }
        for command in &self.commands {
            let rest = Arg::new("arguments").num_args(0..);
            root = root.subcommand(Command::new(command.name.clone()).about(command.help.clone()).arg(rest));
        }
        root
    }
}

/// `--conf/-c FILE`, `-d`, `--format plain|json|xml`: its names, and its value if it takes one.
fn argument(way: &str, help: &str) -> Option<Arg> {
    let (names, value) = way.split_once(' ').unwrap_or((way, ""));
    let id = names.split('/').next()?.trim_start_matches('-').to_owned();
    let mut arg = Arg::new(id).help(help.to_owned()).global(true).action(ArgAction::SetTrue);
    for name in names.split('/') {
        match (name.strip_prefix("--"), name.strip_prefix('-').and_then(|rest| rest.chars().next())) {
            (Some(long), _) => arg = arg.long(long.to_owned()),
            (None, Some(short)) => arg = arg.short(short),
            (None, None) => return None,
        }
    }
    if !value.is_empty() {
        arg = arg.action(ArgAction::Append).value_name(value.to_owned());
    }
    if value.contains('|') && !value.contains('<') {
        arg = arg.value_parser(value.split('|').map(str::to_owned).collect::<Vec<_>>());
    }
    Some(arg)
}
