//! `lsd group`: images with snapshots of one moment.
//!
//! Owns: which group, and which snapshot of it, a command is about; what all of these commands say alike. Does not own: what a group
//! is (the engine).
use crate::command::image_args::{Role, Snap, spec_named};
use crate::command::options::{NAMESPACE, POOL, SNAP};
use crate::command::{OptionSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::session::Session;
use crate::spec::{Place, Spec, Strictness};
use lsd_engine::Groups;
use lsd_store::{ObjectStore, PoolId};
use std::sync::Arc;

mod change;
mod image;
mod list;
mod snap;

pub use change::{CREATE, REMOVE, RENAME};
pub use image::{IMAGE_ADD, IMAGE_LIST, IMAGE_REMOVE};
pub use list::LIST;
pub use snap::{SNAP_CREATE, SNAP_LIST, SNAP_REMOVE, SNAP_RENAME, SNAP_ROLLBACK};

const GROUP: OptionSpec = OptionSpec::value("group", "group name");
/// A command that works on one group, and on one of its snapshots.
const ONE_GROUP: &[OptionSpec] = &[POOL, NAMESPACE, GROUP];
const ONE_SNAP: &[OptionSpec] = &[POOL, NAMESPACE, GROUP, SNAP];

const GROUP_SPEC: Positional = Positional {
    name: "group-spec",
    help: "group specification\n(example: [<pool-name>/[<namespace>/]]<group-name>\nor dir:<path>/<group-name>)",
};
const GROUP_SNAP_SPEC: Positional = Positional {
    name: "group-snap-spec",
    help: "group specification\n(example: [<pool-name>/[<namespace>/]]<group-name>@<snap-name>\nor dir:<path>/<group-name>@<snap-name>)",
};

/// A group as a command line names it.
#[derive(Debug)]
struct Named {
    place: Place,
    group: String,
    snap: String,
}

impl Named {
    fn of(parsed: &Parsed, snap: Snap) -> Result<Self> {
        Self::given_by(parsed, ["pool", "namespace", "group", "snap"], "", snap)
    }

    /// `words`: what stands before `group name` in what is said of it.
    fn given_by(parsed: &Parsed, options: [&'static str; 4], words: &str, snap: Snap) -> Result<Self> {
        let Spec { place, image, snap: found } = spec_named(parsed, options, Strictness::Strict)?;
        let missing = || Failure::invalid(format!("{words}group name was not specified"));
        let group = image.ok_or_else(missing)?;
        snap.check(Role::Only, found.as_ref())?;
        Ok(Self { place, group, snap: found.unwrap_or_default() })
    }

    async fn groups(&self, session: &Session) -> Result<Groups> {
        groups_in(session, &self.place).await
    }
}

async fn groups_in(session: &Session, place: &Place) -> Result<Groups> {
    Ok(Groups::new(session.store(place).await?, session.open_options(place, false).await?))
}

/// The pool of a group as rbd names it; empty for one that is gone. A directory is named as in a specification.
pub async fn group_pool(store: &Arc<dyn ObjectStore>, pool: i64) -> String {
    const NO_POOLS: i64 = -1;
    match pool {
        NO_POOLS => format!("dir:{}", store.pool_name()),
        pool if pool == store.pool_id().0 => store.pool_name(),
        pool => store.open_pool(PoolId(pool)).await.map(|pool| pool.pool_name()).unwrap_or_default(),
    }
}
