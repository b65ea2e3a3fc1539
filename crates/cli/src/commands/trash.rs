//! `lsd trash`: images that have no name and can be brought back.
//!
//! Owns: which entry of which trash a command is about. Does not own: what the trash is (the engine), dates (`output::time`).
use crate::command::image_args::image_id;
use crate::command::{Parsed, Positional};
use crate::error::Result;
use crate::session::Session;
use crate::spec::Place;
use lsd_engine::{ImageId, Trash};
use lsd_store::ObjectStore;
use std::sync::Arc;

mod change;
mod date;
mod list;
mod remove;

pub use change::{MOVE, RESTORE};
pub use list::LIST;
pub use remove::{PURGE, REMOVE};

const ID_SPEC: Positional = Positional {
    name: "image-id",
    help: "image id\n(example: [<pool-name>/[<namespace>/]]<image-id>\nor dir:<path>/<image-id>)",
};

/// One image in a trash, as a command line names it.
struct Subject {
    place: Place,
    store: Arc<dyn ObjectStore>,
    trash: Trash,
    id: ImageId,
}

impl Subject {
    async fn of(session: &Session, parsed: &Parsed) -> Result<Self> {
        let (place, id) = image_id(parsed)?;
        let store = session.store(&place).await?;
        let trash = Trash::new(store.clone()).with_bases(session.bases(&place).await?);
        Ok(Self { place, trash, store, id })
    }
}
