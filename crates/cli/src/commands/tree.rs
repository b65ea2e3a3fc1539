//! `lsd tree`: the family of an image, from its oldest ancestor down. rbd has nothing like it.
//!
//! Owns: how a family looks as text, for programs, and for Graphviz. Does not own: going through it (`tree/family.rs`).
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, ONE_IMAGE};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::{print, size};
use crate::session::Session;
use family::{Branch, Member};
use std::fmt::Write;

mod family;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["tree"],
    alias: &[],
    summary: "Show the family of an image: its parents, and all of their clones.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[
        ONE_IMAGE,
        &[
            OptionSpec::value("format", "output format (plain, json, xml, or dot) [default: plain]"),
            OptionSpec::switch("pretty-format", "pretty formatting (json and xml)"),
        ],
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let is_dot = parsed.get("format") == Some("dot");
    if is_dot && parsed.has("pretty-format") {
        return Err(Failure::invalid("--pretty-format only works when --format is json or xml"));
    }
    let format = if is_dot { Format::Plain } else { Format::of(parsed)? };
    let options = session.open_options(&location.place, true).await?;
    let store = location.store(session).await?;
    let image = location.open_image(session, true).await?;
    let family = family::of(&store, image, &options).await;
    let oldest = family.map_err(|error| Failure::engine("listing the family failed", &error))?;
    if is_dot {
        return print(&dot(&oldest));
    }
    format.print("image", &tree(&oldest), || plain(&oldest))
}

fn tree(member: &Member) -> Tree {
    let snapshot = |branch: &Branch| {
        Tree::Object(vec![
            ("id", branch.id.into()),
            ("name", branch.name.as_str().into()),
            ("removed", Tree::Bool(branch.removed)),
            ("children", Tree::List("image", branch.children.iter().map(tree).collect())),
        ])
    };
    let mut fields: Vec<(&'static str, Tree)> = vec![
        ("pool", member.kin.pool.as_str().into()),
        ("pool_namespace", member.kin.namespace.as_str().into()),
        ("image", member.kin.image.as_str().into()),
        ("id", member.id.0.as_str().into()),
        ("size", member.size.into()),
        ("trash", Tree::Bool(member.trash)),
        ("asked_for", Tree::Bool(member.is_asked_for)),
    ];
    fields.push(("snapshots", Tree::List("snapshot", member.branches.iter().map(snapshot).collect())));
    Tree::Object(fields)
}

/// Snapshots without clones are left out.
fn plain(oldest: &Member) -> String {
    let mut text = String::new();
    write_member(&mut text, oldest, 0);
    text
}

fn write_member(text: &mut String, member: &Member, depth: usize) {
    let mut notes = vec![size::format(member.size)];
    if member.trash {
        notes.push(format!("trash {}", member.id));
    }
    if member.is_asked_for {
        notes.push("this image".to_owned());
    }
    let _ = writeln!(text, "{:width$}{} ({})", "", member.kin.spec(), notes.join(", "), width = depth * 2);
    for branch in &member.branches {
        let removed = if branch.removed { " (removed)" } else { "" };
        let _ = writeln!(text, "{:width$}@{}{removed}", "", branch.name, width = depth * 2 + 2);
        for child in &branch.children {
            write_member(text, child, depth + 2);
        }
    }
}

/// For Graphviz: an image is a node, a clone an edge that names the snapshot.
fn dot(oldest: &Member) -> String {
    let mut text = "digraph family {\n\tnode [shape=box];\n".to_owned();
    write_dot(&mut text, oldest);
    text + "}\n"
}

fn write_dot(text: &mut String, member: &Member) {
    let quoted = |words: &str| format!("\"{}\"", words.replace('\\', "\\\\").replace('"', "\\\""));
    let style = match (member.is_asked_for, member.trash) {
        (true, _) => ", style=bold",
        (false, true) => ", style=dashed",
        (false, false) => "",
    };
    let label = quoted(&member.kin.spec());
    let _ = writeln!(text, "\t{} [label={label}{style}];", quoted(&member.node()));
    for branch in &member.branches {
        let style = if branch.removed { ", style=dashed" } else { "" };
        for child in &branch.children {
            let (from, to) = (quoted(&member.node()), quoted(&child.node()));
            let _ = writeln!(text, "\t{from} -> {to} [label={}{style}];", quoted(&format!("@{}", branch.name)));
            write_dot(text, child);
        }
    }
}
