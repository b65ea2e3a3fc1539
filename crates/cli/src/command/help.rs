//! Help in the layout of rbd's: usage, positional arguments, options, wrapped at 80 columns.
use super::{CommandSpec, OptionSpec, Takes};
use std::fmt::Write;

const LINE_WIDTH: usize = 80;
/// Names of options shorter than this are padded to it.
const MIN_NAME_WIDTH: usize = 20;
/// Column of the summaries in the overview.
const SUMMARY_COLUMN: usize = 38;

pub(crate) const OVERVIEW_OPTIONS: [(&str, &str); 9] = [
    ("-c [ --conf ] arg", "path to cluster configuration"),
    ("--cluster arg", "cluster name"),
    ("--id arg", "client id (without 'client.' prefix)"),
    ("-n [ --name ] arg", "client name"),
    ("-m [ --mon_host ] arg", "monitor host"),
    ("-K [ --keyfile ] arg", "path to secret key"),
    ("-k [ --keyring ] arg", "path to keyring"),
    ("--log-level arg", "error, warn, info, debug or trace [default: off]"),
    ("--log-file arg", "file for the log [default: standard error]"),
];

/// Every command with its summary.
pub fn overview<'a>(specs: impl Iterator<Item = &'a CommandSpec>) -> String {
    let mut text = String::from(
        "usage: lsd <command> ...\n\nCommand-line interface for managing lsd images.\n\n\
         Positional arguments:\n  <command>\n",
    );
    let mut lines: Vec<(String, &str)> = specs.map(|spec| (overview_name(spec), spec.summary)).collect();
    lines.sort();
    for (name, summary) in lines {
        described(&mut text, &format!("    {name}"), summary, SUMMARY_COLUMN);
    }
    text.push_str("\nOptional arguments:\n");
    for (name, help) in OVERVIEW_OPTIONS {
        described(&mut text, &format!("  {name}"), help, SUMMARY_COLUMN);
    }
    text.push_str("\nAn image is [<pool-name>/[<namespace>/]]<image-name> in a cluster, or\n");
    text.push_str("dir:<path>/<image-name> in a directory.\n");
    text.push_str("\nSee 'lsd help <command>' for help on a specific command.\n");
    text
}

/// `image-meta list (image-meta ls)`, shortened to `(... ls)` where the line would be too long.
fn overview_name(spec: &CommandSpec) -> String {
    let name = spec.words.join(" ");
    if spec.alias.is_empty() {
        return name;
    }
    let whole = format!("{name} ({})", spec.alias.join(" "));
    if whole.len() + 5 <= SUMMARY_COLUMN {
        return whole;
    }
    format!("{name} (... {})", spec.alias.last().unwrap_or(&""))
}

/// The help of one command, called by these words.
pub fn command(spec: &CommandSpec, words: &[&str]) -> String {
    let options: Vec<&OptionSpec> = spec.all_options().collect();
    let mut text = usage(spec, &options, &words.join(" "));
    let _ = write!(text, "\n{}\n\n", spec.summary);
    let column = description_column(spec, &options);
    if !spec.positionals.is_empty() {
        text.push_str("Positional arguments\n");
        for positional in spec.positionals {
            described(&mut text, &format!("  <{}>", positional.name), positional.help, column);
        }
        text.push('\n');
    }
    if !options.is_empty() {
        text.push_str("Optional arguments\n");
        for option in options.iter().filter(|option| !option.hidden) {
            described(&mut text, &format!("  {}", option_name(option)), option.help, column);
        }
        text.push('\n');
    }
    if !spec.epilogue.is_empty() {
        text.push_str(spec.epilogue);
        text.push('\n');
    }
    text
}

/// `-p [ --pool ] arg`
fn option_name(option: &OptionSpec) -> String {
    let value = if option.takes == Takes::Nothing { "" } else { " arg" };
    match option.short {
        Some(short) => format!("-{short} [ --{} ]{value}", option.long),
        None => format!("--{}{value}", option.long),
    }
}

fn description_column(spec: &CommandSpec, options: &[&OptionSpec]) -> usize {
    let positionals = spec.positionals.iter().map(|positional| positional.name.len() + 3);
    let options = options.iter().filter(|option| !option.hidden).map(|option| option_name(option).len());
    positionals.chain(options).max().unwrap_or(0).max(MIN_NAME_WIDTH) + 3
}

fn usage(spec: &CommandSpec, options: &[&OptionSpec], name: &str) -> String {
    let head = format!("usage: lsd {name} ");
    let indent = head.len();
    let mut text = head;
    let mut column = indent;
    for option in options {
        let shown = match option.takes {
            Takes::Nothing => format!("--{}", option.long),
            _ => format!("--{0} <{0}>", option.long),
        };
        let token = if option.required { format!("{shown} ") } else { format!("[{shown}] ") };
        if column + token.len() >= LINE_WIDTH && column > indent {
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        }
        column += token.len();
        text.push_str(&token);
    }
    if !spec.positionals.is_empty() {
        let _ = write!(text, "\n{:indent$}", "");
        for positional in spec.positionals {
            let _ = write!(text, "<{}> ", positional.name);
        }
        if let Some(last) = spec.positionals.last().filter(|_| spec.takes_more()) {
            let _ = write!(text, "[<{}> ...] ", last.name);
        }
    }
    text.push('\n');
    text
}

/// A name, then its description from `column` on; the description's own line breaks are kept.
fn described(text: &mut String, name: &str, description: &str, column: usize) {
    let mut lead = name.to_owned();
    if lead.len() >= column {
        let _ = writeln!(text, "{lead}");
        lead.clear();
    }
    for paragraph in description.split('\n') {
        for line in wrap(paragraph, LINE_WIDTH - column) {
            let _ = writeln!(text, "{lead:column$}{line}");
            lead.clear();
        }
    }
}

/// Lines of at most `width` characters; a word that is longer is cut.
fn wrap(paragraph: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in paragraph.split(' ') {
        let mut word = word;
        let last = lines.len() - 1;
        let needed = lines[last].len() + usize::from(!lines[last].is_empty()) + word.len();
        if needed > width && !lines[last].is_empty() {
            lines.push(String::new());
        }
        while word.len() > width {
            let (now, later) = word.split_at(width);
            let last = lines.len() - 1;
            lines[last].push_str(now);
            lines.push(String::new());
            word = later;
        }
        let last = lines.len() - 1;
        if !lines[last].is_empty() {
            lines[last].push(' ');
        }
        lines[last].push_str(word);
    }
    lines
}
