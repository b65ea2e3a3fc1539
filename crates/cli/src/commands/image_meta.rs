//! `lsd image-meta`.
use crate::command::image_args::existing_image;
use crate::command::options::{FORMAT, IMAGE_SPEC, ONE_IMAGE};
use crate::command::{CommandSpec, Parsed, Positional};
use crate::error::{Failure, Result, describe_errno};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::output::{print, warn, warn_named};
use crate::session::Session;
use lsd_engine::{Error, ErrorKind};
use std::collections::BTreeMap;

const KEY: Positional = Positional { name: "key", help: "image meta key" };
const VALUE: Positional = Positional { name: "value", help: "image meta value" };

pub const LIST: CommandSpec = CommandSpec {
    words: &["image-meta", "list"],
    alias: &["image-meta", "ls"],
    summary: "Image metadata list keys with values.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, FORMAT],
    run: |session, parsed| Box::pin(list(session, parsed)),
};

pub const GET: CommandSpec = CommandSpec {
    words: &["image-meta", "get"],
    alias: &[],
    summary: "Image metadata get the value associated with the key.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, KEY],
    options: &[ONE_IMAGE],
    run: |session, parsed| Box::pin(get(session, parsed)),
};

pub const SET: CommandSpec = CommandSpec {
    words: &["image-meta", "set"],
    alias: &[],
    summary: "Image metadata set key with value.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, KEY, VALUE],
    options: &[ONE_IMAGE],
    run: |session, parsed| Box::pin(set(session, parsed)),
};

pub const REMOVE: CommandSpec = CommandSpec {
    words: &["image-meta", "remove"],
    alias: &["image-meta", "rm"],
    summary: "Image metadata remove the key and value associated.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, KEY],
    options: &[ONE_IMAGE],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

async fn list(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let format = Format::of(parsed)?;
    let image = location.open_image(session, true).await?;
    let failed = |error: Error| Failure::engine("listing metadata failed", &error);
    let pairs = image.metadata().list().await.map_err(failed)?;
    let tree = Tree::Map(pairs.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect());
    format.print("metadatas", &tree, || plain(&pairs))?;
    image.close().await.map_err(failed)
}

fn plain(pairs: &BTreeMap<String, String>) -> String {
    let head = match pairs.len() {
        0 => return "There are 0 metadata on this image.\n".to_owned(),
        1 => "There is 1 metadatum on this image:\n\n".to_owned(),
        count => format!("There are {count} metadata on this image:\n\n"),
    };
    let mut table = Table::default().column("Key", Align::Left, Align::Left).column("Value", Align::Left, Align::Left);
    pairs.iter().for_each(|(key, value)| table.row(vec![key.clone(), value.clone()]));
    format!("{head}{table}")
}

/// The key, which must be given and not be empty.
fn key_argument(parsed: &Parsed) -> Result<String> {
    let key = parsed.next_positional().filter(|key| !key.is_empty());
    key.map(str::to_owned).ok_or_else(|| Failure::invalid("metadata key was not specified"))
}

async fn get(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let key = key_argument(parsed)?;
    let image = location.open_image(session, true).await?;
    let value = image.metadata().get(&key).await.map_err(|error| {
        warn(&format!("failed to get metadata {key} of image : {}", describe_errno(error.errno())));
        Failure::engine("getting metadata failed", &error)
    })?;
    print(&format!("{value}\n"))?;
    image.close().await.map_err(|error| Failure::engine("getting metadata failed", &error))
}

async fn set(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let key = key_argument(parsed)?;
    let value = parsed.next_positional().filter(|value| !value.is_empty()).map(str::to_owned);
    let value = value.ok_or_else(|| Failure::invalid("metadata value was not specified"))?;
    let image = location.open_image(session, false).await?;
    let done = image.metadata().set(&key, &value).await.map_err(|error| {
        warn(&format!("failed to set metadata {key} of image : {}", describe_errno(error.errno())));
        Failure::engine("setting metadata failed", &error)
    });
    done.and(image.close().await.map_err(|error| Failure::engine("setting metadata failed", &error)))
}

async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let key = key_argument(parsed)?;
    let image = location.open_image(session, false).await?;
    let done = image.metadata().remove(&key).await.map_err(|error| {
        let words = describe_errno(error.errno());
        match error.kind {
            ErrorKind::NotFound => warn_named(&format!("no existing metadata key {key} of image : {words}")),
            _ => warn(&format!("failed to remove metadata {key} of image : {words}")),
        }
        Failure::engine("removing metadata failed", &error)
    });
    done.and(image.close().await.map_err(|error| Failure::engine("removing metadata failed", &error)))
}
