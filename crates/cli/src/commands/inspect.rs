//! `lsd inspect`: the objects of an image as they lie in the store, without opening the image. It changes nothing, and
//! shows damage where there is some instead of failing at it.
use crate::command::image_args::{Role, place_of, spec_of};
use crate::command::options::{FORMAT, IMAGE_OR_SNAP, IMAGE_OR_SNAP_SPEC, IMAGE_SPEC, ONE_IMAGE};
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::session::Session;
use crate::spec::{Spec, Strictness};
use bytes::Bytes;
use lsd_core::format::header::{ImageRecord, LogRecord, key};
use lsd_core::format::{FormatError, FormatResult, names};
use lsd_engine::{Catalog, ImageId};
use lsd_store::{KvMap, ObjectName, ObjectStore, PoolId, StoreError};
use nix::libc;
use std::fmt::Display;
use std::sync::Arc;

mod header;
mod map;
mod segment;
mod snapshots;

const IMAGE_ID: &[OptionSpec] = &[OptionSpec::value("image-id", "image id")];
const SEGMENT_NUMBER: Positional =
    Positional { name: "segment", help: "number of a segment\n(default: list every segment)" };

pub const HEADER: CommandSpec = CommandSpec {
    words: &["inspect", "header"],
    alias: &[],
    summary: "Show what an image's header object holds.",
    epilogue: "",
    positionals: &[IMAGE_SPEC],
    options: &[ONE_IMAGE, IMAGE_ID, FORMAT],
    run: |session, parsed| Box::pin(header::execute(session, parsed)),
};

pub const MAP: CommandSpec = CommandSpec {
    words: &["inspect", "map"],
    alias: &[],
    summary: "Show the last checkpoint of an image's map, or the map of a snapshot.",
    epilogue: "",
    positionals: &[IMAGE_OR_SNAP_SPEC],
    options: &[
        IMAGE_OR_SNAP,
        IMAGE_ID,
        &[
            OptionSpec::value("leaf", "show the extents of one leaf"),
            OptionSpec::switch("segments", "show the segments instead of the leaves"),
            OptionSpec::switch(
                "pages",
                "show the pages that snapshots need, and those let go (0 pins), instead of the leaves",
            ),
        ],
        FORMAT,
    ],
    run: |session, parsed| Box::pin(map::execute(session, parsed)),
};

pub const SEGMENT: CommandSpec = CommandSpec {
    words: &["inspect", "segment"],
    alias: &[],
    summary: "Show what the log of an image holds.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, SEGMENT_NUMBER],
    options: &[
        ONE_IMAGE,
        IMAGE_ID,
        &[
            OptionSpec::switch("records", "show every record of the segment"),
            OptionSpec::switch("check", "read the data and check it too"),
        ],
        FORMAT,
    ],
    run: |session, parsed| Box::pin(segment::execute(session, parsed)),
};

/// An image's objects.
struct Subject {
    store: Arc<dyn ObjectStore>,
    id: String,
    header: KvMap,
    /// The snapshot that is looked at.
    snap: Option<String>,
}

impl Subject {
    /// Finds the image's header, by name or id.
    async fn find(session: &Session, parsed: &Parsed) -> Result<Self> {
        let spec = match parsed.get("image-id") {
            Some(_) => {
                let snap = parsed.get("snap").filter(|snap| !snap.is_empty()).map(str::to_owned);
                Spec { place: place_of(parsed)?, snap, ..Spec::default() }
            }
            None => spec_of(parsed, Role::Only, Strictness::Lenient)?,
        };
        let store = session.store(&spec.place).await?;
        let (id, name) = match (parsed.get("image-id"), spec.image) {
            (Some(id), _) => (ImageId(id.to_owned()), id.to_owned()),
            (None, Some(name)) => {
                let id = Catalog::new(store.clone()).id_of(&name).await;
                (id.map_err(|error| Failure::engine(&format!("error opening image {name}"), &error))?, name)
            }
            (None, None) => return Err(Failure::invalid("image name was not specified")),
        };
        let object = ObjectName::from(names::header(&id.0));
        let header = store.kv_get(&object, "").await;
        let header = header.map_err(|error| store_failed(&format!("error opening image {name}"), &error))?;
        Ok(Self { store, id: id.0, header, snap: spec.snap })
    }

    /// The same for a command that is about the image as a whole.
    async fn find_whole(session: &Session, parsed: &Parsed) -> Result<Self> {
        let subject = Self::find(session, parsed).await?;
        match subject.snap {
            Some(_) => Err(Failure::invalid("snapshot name specified for a command that doesn't use it")),
            None => Ok(subject),
        }
    }

    /// A value of the header; damage as text.
    fn value<T>(&self, key: &str, decode: impl Fn(&[u8]) -> FormatResult<T>) -> std::result::Result<T, String> {
        let bytes: &Bytes = self.header.get(key).ok_or_else(|| "missing".to_owned())?;
        decode(bytes).map_err(|error| error.to_string())
    }

    /// What the other objects cannot be found without.
    fn image_and_log(&self) -> Result<(ImageRecord, LogRecord)> {
        let damaged = |why| Failure::new(libc::EIO, format!("header of {}: {why}", self.id));
        Ok((
            self.value(key::IMAGE, ImageRecord::decode).map_err(damaged)?,
            self.value(key::LOG, LogRecord::decode).map_err(damaged)?,
        ))
    }

    /// The pool with the segments.
    async fn data_store(&self, image: &ImageRecord) -> Result<Arc<dyn ObjectStore>> {
        let pool = PoolId(image.data_pool);
        if pool == self.store.pool_id() {
            return Ok(self.store.clone());
        }
        self.store.open_pool(pool).await.map_err(|error| store_failed("error opening the data pool", &error))
    }
}

fn store_failed(what: &str, error: &StoreError) -> Failure {
    Failure::errno(what, error.errno)
}

/// Bytes that do not verify, in the object of that name.
fn damaged(object: &dyn Display, error: &FormatError) -> Failure {
    Failure::new(libc::EIO, format!("{object}: {error}"))
}
