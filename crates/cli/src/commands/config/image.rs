//! `lsd config image`: what an image says of its options.
use super::{KEY, OVERRIDE, VALUE, key, not_set, print_options};
use crate::command::image_args::existing_image;
use crate::command::options::{FORMAT, IMAGE_SPEC, ONE_IMAGE};
use crate::command::{CommandSpec, Parsed};
use crate::commands::transfer::closed;
use crate::error::{Failure, Result};
use crate::output::format::Format;
use crate::output::print;
use crate::session::{Location, Session};
use crate::spec::Place;
use lsd_engine::{Error, ErrorKind};

pub const GET: CommandSpec = CommandSpec {
    words: &["config", "image", "get"],
    alias: &[],
    summary: "Get an image-level configuration override.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, KEY],
    options: &[ONE_IMAGE],
    run: |session, parsed| Box::pin(get(session, parsed)),
};

pub const LIST: CommandSpec = CommandSpec {
    words: &["config", "image", "list"],
    alias: &["config", "image", "ls"],
    summary: "List image-level configuration overrides.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, FORMAT],
    run: |session, parsed| Box::pin(list(session, parsed)),
};

pub const REMOVE: CommandSpec = CommandSpec {
    words: &["config", "image", "remove"],
    alias: &["config", "image", "rm"],
    summary: "Remove an image-level configuration override.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, KEY],
    options: &[ONE_IMAGE],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

pub const SET: CommandSpec = CommandSpec {
    words: &["config", "image", "set"],
    alias: &[],
    summary: "Set an image-level configuration override.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, KEY, VALUE],
    options: &[ONE_IMAGE],
    run: |session, parsed| Box::pin(set(session, parsed)),
};

/// What a command is about. Which options there are the cluster says, so it is asked first.
async fn subject(session: &Session, parsed: &Parsed) -> Result<(Location, String)> {
    let location = existing_image(parsed)?;
    if matches!(location.place, Place::Pool { .. }) {
        session.connection().await?;
    }
    let key = key(session, parsed)?;
    Ok((location, key))
}

async fn get(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, key) = subject(session, parsed).await?;
    let image = location.open_image(session, true).await?;
    let failed = format!("failed to get {key}");
    let value = image.metadata().get(&format!("{OVERRIDE}{key}")).await.map_err(|error| match error.kind {
        ErrorKind::NotFound => not_set(&key),
        _ => Failure::engine(&failed, &error),
    });
    print(&format!("{}\n", closed(&image, &failed, value).await?))
}

async fn set(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, key) = subject(session, parsed).await?;
    let value = parsed.next_positional().filter(|value| !value.is_empty()).map(str::to_owned);
    let value = value.ok_or_else(|| Failure::invalid("image config value was not specified"))?;
    let image = location.open_image(session, false).await?;
    let failed = format!("failed to set {key}");
    let set = image.metadata().set(&format!("{OVERRIDE}{key}"), &value).await;
    closed(&image, &failed, set.map_err(|error| Failure::engine(&failed, &error))).await
}

async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let (location, key) = subject(session, parsed).await?;
    let image = location.open_image(session, false).await?;
    let failed = format!("failed to remove {key}");
    let removed = image.metadata().remove(&format!("{OVERRIDE}{key}")).await;
    closed(&image, &failed, removed.map_err(|error| Failure::errno(&failed, error.errno()))).await
}

async fn list(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let format = Format::of(parsed)?;
    let image = location.open_image(session, true).await?;
    let what = "failed to list options";
    let options = image.config(&|name| session.setting(name)).await;
    let options = closed(&image, what, options.map_err(|error: Error| Failure::engine(what, &error))).await?;
    let before = match options.len() {
        1 => "There is 1 value:\n".to_owned(),
        count => format!("There are {count} values:\n"),
    };
    print_options(format, &options, before)
}
