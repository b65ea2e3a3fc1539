//! `lsd trash move` and `lsd trash restore`.
use super::{ID_SPEC, Subject, date};
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE, IMAGE_ID, IMAGE_SPEC, NAMESPACE, ONE_IMAGE, POOL};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::commands::waiting::telling_who_is_waited_for;
use crate::error::{Failure, Result};
use crate::session::{Location, Session};
use lsd_engine::{ErrorKind, ImageRef, Trash};
use std::time::{Duration, SystemTime};

pub const MOVE: CommandSpec = CommandSpec {
    words: &["trash", "move"],
    alias: &["trash", "mv"],
    summary: "Move an image to the trash.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[
        ONE_IMAGE,
        &[OptionSpec::value(
            "expires-at",
            "set the expiration time of an image so it can be purged when it is stale, as date(1) reads it [default: now]",
        )],
    ],
    run: |session, parsed| Box::pin(put(session, parsed)),
};

pub const RESTORE: CommandSpec = CommandSpec {
    words: &["trash", "restore"],
    alias: &[],
    summary: "Restore an image from trash.",
    epilogue: "",
    positionals: &[ID_SPEC],
    options: &[&[POOL, NAMESPACE, IMAGE_ID, IMAGE]],
    run: |session, parsed| Box::pin(restore(session, parsed)),
};

async fn put(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let store = location.store(session).await?;
    let delay = parsed.get("expires-at").map(delay_until).transpose()?.unwrap_or_default();
    let trash = Trash::new(store.clone());
    let moving = trash.put(&location.image, delay);
    let moved = telling_who_is_waited_for(&store, &ImageRef::Name(location.image.clone()), &|| false, moving).await;
    moved.map_err(|error| Failure::engine("deferred delete error", &error))
}

/// `EINVAL`: it is over, or farther off than an entry of the trash can say.
fn delay_until(text: &str) -> Result<Duration> {
    let asked = SystemTime::now();
    delay(date::parse(text)?, since_1970(asked), since_1970(SystemTime::now()))
}

fn since_1970(time: SystemTime) -> i128 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i128)
}

/// `asked`: when the question was put. `date` takes its time to answer it, so what was now then is over by now.
fn delay(until: i128, asked: i128, now: i128) -> Result<Duration> {
    if until < asked {
        return Err(Failure::invalid("cannot use a date in the past as an expiration date"));
    }
    let ns = u64::try_from(until).ok().and_then(|_| u64::try_from((until - now).max(0)).ok());
    ns.map(Duration::from_nanos).ok_or_else(|| Failure::invalid("an expiration date must be before the year 2554"))
}

async fn restore(session: &Session, parsed: &Parsed) -> Result<()> {
    let Subject { place, trash, id, .. } = Subject::of(session, parsed).await?;
    let name = parsed.get("image").filter(|name| !name.is_empty());
    let restored = async {
        let image = match name {
            Some(name) => name.to_owned(),
            None => trash.get(&id).await?.name,
        };
        let location = Location { place, image, snap: None };
        location.give_name(session, trash.restore(&id, name)).await
    };
    restored.await.map_err(|error| match error.kind {
        ErrorKind::NotFound => Failure::new(error.errno(), "error: image does not exist in trash"),
        ErrorKind::Exists => Failure::new(
            error.errno(),
            "error: an image with the same name already exists, try again with a different name",
        ),
        _ => Failure::engine("restore error", &error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiration_date_is_to_come() {
        let words = |until| delay(until, 1_000, 1_500).map_err(|failure| (failure.code, failure.message));
        assert_eq!(words(1_000), Ok(Duration::ZERO));
        assert_eq!(words(1_200), Ok(Duration::ZERO));
        assert_eq!(words(1_507), Ok(Duration::from_nanos(7)));
        assert_eq!(words(i128::from(u64::MAX)), Ok(Duration::from_nanos(u64::MAX - 1_500)));
        let past = (22, "cannot use a date in the past as an expiration date".to_owned());
        assert_eq!(words(999), Err(past.clone()));
        assert_eq!(words(-1), Err(past));
        assert_eq!(words(i128::from(u64::MAX) + 1).unwrap_err().0, 22);
    }
}
