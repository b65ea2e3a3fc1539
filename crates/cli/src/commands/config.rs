//! `lsd config`: options by name, for everybody (`global`), for a pool, and for an image.
//!
//! Owns: what the three have in common. Does not own: what may be said of an option (engine).
pub(super) mod global;
pub(super) mod image;
pub(super) mod pool;

use crate::command::{Parsed, Positional};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::session::Session;
use lsd_engine::{ConfigOption, ConfigSource, is_overridable};
use nix::libc;

const KEY: Positional = Positional { name: "key", help: "config key" };
const VALUE: Positional = Positional { name: "value", help: "config value" };
/// What the key of an override in metadata begins with.
const OVERRIDE: &str = "conf_";

/// The option that a command is about. `EINVAL`: none was named, or none of that name is there.
fn key(session: &Session, parsed: &Parsed) -> Result<String> {
    let key = parsed.next_positional().filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Failure::invalid("config key was not specified"))?;
    if !key.starts_with("rbd_") && !key.starts_with("lsd_") {
        return Err(Failure::invalid(format!("not rbd option: {key}")));
    }
    // Ceph knows more of them than may be overridden.
    if !is_overridable(key) && session.setting(key).is_none() {
        return Err(Failure::invalid(format!("invalid config key: {key}")));
    }
    Ok(key.to_owned())
}

fn not_set(key: &str) -> Failure {
    Failure::new(libc::ENOENT, format!("{key} is not set"))
}

fn source(option: &ConfigOption) -> &'static str {
    match option.source {
        ConfigSource::Config => "config",
        ConfigSource::Pool => "pool",
        ConfigSource::Image => "image",
    }
}

/// `last`: what the last column, and the last field of each, is called.
fn print(format: Format, rows: &[[&str; 3]], last: (&'static str, &'static str), before: String) -> Result<()> {
    let item = |[name, value, third]: &[&str; 3]| {
        Tree::Object(vec![("name", (*name).into()), ("value", (*value).into()), (last.1, (*third).into())])
    };
    let tree = Tree::List("option", rows.iter().map(item).collect());
    format.print("config", &tree, || {
        let columns = ["Name", "Value", last.0];
        let empty = Table::default();
        let mut table = columns.iter().fold(empty, |table, name| table.column(name, Align::Left, Align::Left));
        rows.iter().for_each(|row| table.row(row.iter().map(|text| (*text).to_owned()).collect()));
        if rows.is_empty() { before.clone() } else { format!("{before}{table}") }
    })
}

fn print_options(format: Format, options: &[ConfigOption], before: String) -> Result<()> {
    let row = |option| -> [&str; 3] { row_of(option) };
    let rows: Vec<[&str; 3]> = options.iter().map(row).collect();
    print(format, &rows, ("Source", "source"), before)
}

fn row_of(option: &ConfigOption) -> [&str; 3] {
    [option.name, &option.value, source(option)]
}
