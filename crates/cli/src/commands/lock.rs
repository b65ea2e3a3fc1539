//! `lsd lock`: advisory locks, and the owner's lock among them.
use crate::command::image_args::existing_image;
use crate::command::options::{FORMAT, IMAGE_SPEC, ONE_IMAGE};
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::output::table::{Align, Table};
use crate::session::Session;
use crate::spec::Place;
use lsd_engine::{Error, ErrorKind};
use lsd_store::{LockState, Locker};

const LOCK_ID: Positional = Positional { name: "lock-id", help: "unique lock id" };
const LOCKER: Positional = Positional { name: "locker", help: "locker client" };
const SHARED: OptionSpec = OptionSpec::value("shared", "shared lock tag");

pub const ADD: CommandSpec = CommandSpec {
    words: &["lock", "add"],
    alias: &[],
    summary: "Take a lock on an image.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, LOCK_ID],
    options: &[ONE_IMAGE, &[SHARED]],
    run: |session, parsed| Box::pin(add(session, parsed)),
};

pub const LIST: CommandSpec = CommandSpec {
    words: &["lock", "list"],
    alias: &["lock", "ls"],
    summary: "Show locks held on an image.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, FORMAT],
    run: |session, parsed| Box::pin(list(session, parsed)),
};

pub const REMOVE: CommandSpec = CommandSpec {
    words: &["lock", "remove"],
    alias: &["lock", "rm"],
    summary: "Release a lock on an image.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, LOCK_ID, LOCKER],
    options: &[ONE_IMAGE],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

fn argument(parsed: &Parsed, missing: &str) -> Result<String> {
    let given = parsed.next_positional().filter(|text| !text.is_empty());
    given.map(str::to_owned).ok_or_else(|| Failure::invalid(missing))
}

async fn add(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let id = argument(parsed, "lock id was not specified")?;
    let tag = parsed.get("shared");
    if let Place::Directory(_) = location.place {
        // Nothing of it would be left: locks in a directory are those of living processes.
        let reason = "a lock in a directory ends with the process that takes it";
        return Err(Failure::new(nix::libc::EOPNOTSUPP, reason));
    }
    let image = location.open_image(session, false).await?;
    let failed = |error: Error| match error.kind {
        ErrorKind::Busy | ErrorKind::Exists => {
            let tagged = if tag.is_some() { " with a different tag" } else { "" };
            Failure::new(nix::libc::EBUSY, format!("lock is already held by someone else{tagged}"))
        }
        _ => Failure::engine("taking lock failed", &error),
    };
    let taken = image.locks().lock_advisory(&id, tag).await.map_err(failed);
    taken.and(image.close().await.map_err(|error| Failure::engine("taking lock failed", &error)))
}

async fn list(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let format = Format::of(parsed)?;
    let image = location.open_image(session, true).await?;
    let failed = |error: Error| Failure::engine("listing locks failed", &error);
    let state = image.locks().holders().await.map_err(failed)?;
    let describe = |locker: &Locker| {
        Tree::Object(vec![
            ("id", locker.cookie.as_str().into()),
            ("locker", locker.client.as_str().into()),
            ("address", locker.addr.as_str().into()),
        ])
    };
    let tree = Tree::List("lock", state.lockers.iter().map(describe).collect());
    format.print("locks", &tree, || plain(&state))?;
    image.close().await.map_err(failed)
}

fn plain(state: &LockState) -> String {
    let count = state.lockers.len();
    if count == 0 {
        return String::new();
    }
    let (verb, plural) = if count == 1 { ("is", "") } else { ("are", "s") };
    let kind = if state.exclusive { "exclusive" } else { "shared" };
    let tag = if state.exclusive { String::new() } else { format!("Lock tag: {}\n", state.tag) };
    let mut table = Table::default()
        .column("Locker", Align::Left, Align::Left)
        .column("ID", Align::Left, Align::Left)
        .column("Address", Align::Left, Align::Left);
    for locker in &state.lockers {
        table.row(vec![locker.client.clone(), locker.cookie.clone(), locker.addr.clone()]);
    }
    format!("There {verb} {count} {kind} lock{plural} on this image.\n{tag}{table}")
}

async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let id = argument(parsed, "lock id was not specified")?;
    let locker = argument(parsed, "locker was not specified")?;
    let image = location.open_image(session, false).await?;
    let failed = |error: Error| Failure::engine("releasing lock failed", &error);
    let number = locker.strip_prefix("client.").and_then(|number| number.parse::<u64>().ok());
    let released = match number {
        Some(_) => image.locks().break_advisory(&locker, &id).await.map_err(failed),
        None => Err(Failure::errno("releasing lock failed", nix::libc::EINVAL)),
    };
    released.and(image.close().await.map_err(failed))
}
