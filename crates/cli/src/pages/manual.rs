//! Manual pages, of section 8 as those of rbd are.
use super::usage::Usage;
use crate::error::{Failure, Result};
use clap::Command;
use clap_mangen::Man;
use std::fmt::Write;

const SECTION: &str = "8";

/// A page for `lsd` and one for each word and command below it: file name and text.
pub(super) fn of_tree(root: &mut Command) -> Result<Vec<(String, String)>> {
    // Gives those below the names that they are called by.
    root.build();
    let mut pages = Vec::new();
    add(root, "lsd", &mut pages).map_err(|error| Failure::output(&error))?;
    Ok(pages)
}

fn add(command: &Command, name: &str, pages: &mut Vec<(String, String)>) -> std::io::Result<()> {
    pages.push((format!("{name}.{SECTION}"), page(command, name)?));
    for below in command.get_subcommands() {
        add(below, &format!("{name}-{}", below.get_name()), pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str) -> std::io::Result<String> {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut bytes = Vec::new();
    let man = Man::new(command.clone()).title(name).section(SECTION).manual("lsd");
    man.render_title(&mut bytes)?;
    let mut text = format!(".SH NAME\n{} \\- {}\n", escaped(name), escaped(about.trim_end_matches('.')));
    bytes.append(&mut text.into_bytes());
    man.render_synopsis_section(&mut bytes)?;
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(&mut bytes)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut bytes)?;
    }
    text = String::from_utf8_lossy(&bytes).into_owned();
    if let Some(notes) = command.get_after_long_help().map(ToString::to_string).filter(|notes| !notes.is_empty()) {
        let _ = write!(text, ".SH NOTES\n{}", verbatim(&notes));
    }
    if name == "lsd" {
        text.push_str(IMAGES);
    } else {
        text.push_str(".SH SEE ALSO\n\\fBlsd\\fR(8), which has Ceph's own options; they may stand anywhere\n");
    }
    Ok(text)
}

/// What `lsd help` says at its end, too.
const IMAGES: &str = "\
.SH IMAGES
An image is [\\fIpool\\fR/[\\fInamespace\\fR/]]\\fIimage\\fR in a cluster, or dir:\\fIpath\\fR/\\fIimage\\fR in a
directory. Words, options, output and exit codes are those of \\fBrbd\\fR(8).
.SH ENVIRONMENT
CEPH_CONF, CEPH_ARGS, as for Ceph's own commands.
.SH SEE ALSO
\\fBlsd\\-nbd\\fR(8), \\fBlsdmap\\fR(8), \\fBlsd\\-librbd\\fR(8), \\fBrbd\\fR(8)
";

/// The page of a program that has only a usage text.
pub(super) fn of_usage(usage: &Usage) -> String {
    let mut text = String::from(".TH LSD\\-NBD 8 \"\" \"\" lsd\n.SH NAME\n");
    text.push_str("lsd\\-nbd \\- map lsd images to network block devices, and serve them\n.SH SYNOPSIS\n");
    for command in &usage.commands {
        let call = escaped(command.call.trim_start_matches("[options] "));
        let _ = write!(text, ".B lsd\\-nbd\n[options] {call}\n.br\n");
    }
    text.push_str(".SH COMMANDS\n");
    for command in &usage.commands {
        let _ = write!(text, ".TP\n.B {}\n{}\n", escaped(&command.name), escaped(&command.help));
    }
    let mut heading = "";
    for option in &usage.options {
        if option.section != heading {
            heading = &option.section;
            let _ = writeln!(text, ".SH {}", escaped(&heading.to_uppercase()));
        }
        let _ = write!(text, ".TP\n\\fB{}\\fR\n{}\n", escaped(&option.written), escaped(&option.help));
    }
    text.push_str(".SH NOTES\n");
    for paragraph in &usage.notes {
        let _ = write!(text, "{}\n.PP\n", escaped(paragraph));
    }
    text.push_str(".SH SEE ALSO\n\\fBlsd\\fR(8), \\fBlsdmap\\fR(8), \\fBrbd\\-nbd\\fR(8)\n");
    text
}

/// Text that keeps its lines and columns.
fn verbatim(text: &str) -> String {
    let lines = text.lines().map(|line| if line.is_empty() { String::new() } else { escaped(line) + "\n" });
    format!(".nf\n{}.fi\n", lines.collect::<String>())
}

/// Text in which nothing is taken for a command of roff.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if !out.is_empty() {
            out.push('\n');
        }
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        out.push_str(&line.replace('\\', "\\e").replace('-', "\\-"));
    }
    out
}
