//! `lsd config global`: options in the cluster's own configuration, which its monitors keep for every client.
//!
//! The monitors know Ceph's options only: those named `lsd_*` have their place in ceph.conf, in pools and in images.
use super::{KEY, VALUE, key, not_set};
use crate::command::options::FORMAT;
use crate::command::{CommandSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::output::format::Format;
use crate::output::print;
use crate::session::Session;
use nix::libc;
use serde_json::{Value, json};

const ENTITY: Positional = Positional { name: "config-entity", help: "config entity (global, client, client.<id>)" };

pub const GET: CommandSpec = CommandSpec {
    words: &["config", "global", "get"],
    alias: &[],
    summary: "Get a global-level configuration override.",
    epilogue: "",
    positionals: &[ENTITY, KEY],
    options: &[],
    run: |session, parsed| Box::pin(get(session, parsed)),
};

pub const LIST: CommandSpec = CommandSpec {
    words: &["config", "global", "list"],
    alias: &["config", "global", "ls"],
    summary: "List global-level configuration overrides.",
    epilogue: "",
    positionals: &[ENTITY],
    options: &[FORMAT],
    run: |session, parsed| Box::pin(list(session, parsed)),
};

pub const REMOVE: CommandSpec = CommandSpec {
    words: &["config", "global", "remove"],
    alias: &["config", "global", "rm"],
    summary: "Remove a global-level configuration override.",
    epilogue: "",
    positionals: &[ENTITY, KEY],
    options: &[],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

pub const SET: CommandSpec = CommandSpec {
    words: &["config", "global", "set"],
    alias: &[],
    summary: "Set a global-level configuration override.",
    epilogue: "",
    positionals: &[ENTITY, KEY, VALUE],
    options: &[],
    run: |session, parsed| Box::pin(set(session, parsed)),
};

/// Whom an option is for.
fn entity(parsed: &Parsed) -> Result<String> {
    let name = parsed.next_positional().unwrap_or_default();
    let is_client = name == "client" || name.strip_prefix("client.").is_some_and(|id| !id.is_empty());
    if name != "global" && !is_client {
        let why = format!("invalid config entity: {name} (must be global, client or client.<id>)");
        return Err(Failure::invalid(why));
    }
    Ok(name.to_owned())
}

/// Whom a command is about, and which option. Which there are the cluster says, so it is asked first.
async fn subject(session: &Session, parsed: &Parsed) -> Result<(String, String)> {
    let entity = entity(parsed)?;
    session.connection().await?;
    Ok((entity, key(session, parsed)?))
}

/// One option as the monitors keep it.
struct Kept {
    section: String,
    name: String,
    value: String,
}

/// Those of images that are for everybody of an entity: not only on some hosts.
async fn kept(session: &Session, what: &str) -> Result<Vec<Kept>> {
    let command = json!({ "prefix": "config dump", "format": "json" });
    let output = session
        .connection()
        .await?
        .mon_command(command)
        .await?
        .map_err(|(errno, status)| told(what, errno, &status))?;
    let garbled = || Failure::new(libc::EIO, format!("{what}: the monitor's answer is not understood"));
    let all: Vec<Value> = serde_json::from_slice(&output).map_err(|_| garbled())?;
    let text = |option: &Value, field: &str| option.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of_everybody = all.iter().filter(|option| text(option, "mask").is_empty());
    let kept = of_everybody.map(|option| Kept {
        section: text(option, "section"),
        name: text(option, "name"),
        value: text(option, "value"),
    });
    Ok(kept.filter(|option| option.name.starts_with("rbd_")).collect())
}

fn told(what: &str, errno: i32, status: &str) -> Failure {
    match status {
        "" => Failure::errno(what, errno),
        status => Failure::new(errno, format!("{what}: {status}")),
    }
}

async fn get(session: &Session, parsed: &Parsed) -> Result<()> {
    let (entity, key) = subject(session, parsed).await?;
    let kept = kept(session, &format!("error getting {key}")).await?;
    let found = kept.iter().find(|option| option.section == entity && option.name == key);
    print(&format!("{}\n", found.ok_or_else(|| not_set(&key))?.value))
}

async fn list(session: &Session, parsed: &Parsed) -> Result<()> {
    let entity = entity(parsed)?;
    let format = Format::of(parsed)?;
    let kept = kept(session, "error listing options").await?;
    // What is said of fewer counts more.
    let sections = ["global", "client", entity.as_str()];
    let rank = |option: &Kept| {
        let rank = sections.iter().rposition(|section| *section == option.section);
        rank.filter(|rank| *rank != 1 || entity != "global")
    };
    let mut rows: std::collections::BTreeMap<&str, (usize, &Kept)> = std::collections::BTreeMap::new();
    for option in &kept {
        let Some(rank) = rank(option) else { continue };
        let row = rows.entry(&option.name).or_insert((rank, option));
        if rank >= row.0 {
            *row = (rank, option);
        }
    }
    let rows: Vec<[&str; 3]> =
        rows.values().map(|(_, option)| [option.name.as_str(), &option.value, &option.section]).collect();
    super::print(format, &rows, ("Section", "section"), String::new())
}

async fn set(session: &Session, parsed: &Parsed) -> Result<()> {
    let (entity, key) = subject(session, parsed).await?;
    let value = parsed.next_positional().unwrap_or_default();
    let command = json!({ "prefix": "config set", "who": entity, "name": key, "value": value });
    let done = session.connection().await?.mon_command(command).await?;
    done.map(drop).map_err(|(errno, status)| told(&format!("error setting {key}"), errno, &status))
}

async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let (entity, key) = subject(session, parsed).await?;
    let command = json!({ "prefix": "config rm", "who": entity, "name": key });
    let done = session.connection().await?.mon_command(command).await?;
    done.map(drop).map_err(|(errno, status)| told(&format!("error removing {key}"), errno, &status))
}
