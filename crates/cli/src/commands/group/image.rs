//! `lsd group image add`, `lsd group image remove` and `lsd group image list`.
use super::{GROUP, GROUP_SPEC, Named, ONE_GROUP, group_pool, groups_in};
use crate::command::image_args::{Role, Snap, spec_named};
use crate::command::options::{FORMAT, IMAGE, IMAGE_ID, IMAGE_SPEC};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::{Format, Tree};
use crate::session::Session;
use crate::spec::{Place, Strictness};
use lsd_engine::{ErrorKind, ImageId, ImageRef};

const BOTH: &[OptionSpec] = &[
    OptionSpec::value("group-pool", "group pool name"),
    OptionSpec::value("group-namespace", "group namespace name"),
    GROUP,
    OptionSpec::value("image-pool", "image pool name"),
    OptionSpec::value("image-namespace", "image namespace name"),
    IMAGE,
    OptionSpec::value("pool", "pool name unless overridden").short('p'),
];

pub const IMAGE_ADD: CommandSpec = CommandSpec {
    words: &["group", "image", "add"],
    alias: &[],
    summary: "Add an image to a group.",
    epilogue: "",
    positionals: &[GROUP_SPEC, IMAGE_SPEC],
    options: &[BOTH],
    run: |session, parsed| Box::pin(add(session, parsed)),
};

pub const IMAGE_REMOVE: CommandSpec = CommandSpec {
    words: &["group", "image", "remove"],
    alias: &["group", "image", "rm"],
    summary: "Remove an image from a group.",
    epilogue: "",
    positionals: &[GROUP_SPEC, IMAGE_SPEC],
    options: &[BOTH, &[IMAGE_ID]],
    run: |session, parsed| Box::pin(remove(session, parsed)),
};

pub const IMAGE_LIST: CommandSpec = CommandSpec {
    words: &["group", "image", "list"],
    alias: &["group", "image", "ls"],
    summary: "List images in a group.",
    epilogue: "",
    positionals: &[GROUP_SPEC],
    options: &[FORMAT, ONE_GROUP],
    run: |session, parsed| Box::pin(list(session, parsed)),
};

/// A place where `--pool` counts that names no pool of its own.
fn or_pool(place: Place, parsed: &Parsed) -> Place {
    match (place, parsed.get("pool").filter(|pool| !pool.is_empty())) {
        (Place::Pool { pool: None, namespace }, Some(pool)) => Place::Pool { pool: Some(pool.to_owned()), namespace },
        (place, _) => place,
    }
}

/// The group, and where the image is. `EINVAL`: they are in different namespaces, or only one of them in a directory.
fn group_and_image(parsed: &Parsed) -> Result<(Named, Place, ImageRef)> {
    let group = Named::given_by(parsed, ["group-pool", "group-namespace", "group", ""], "", Snap::No)?;
    let group = Named { place: or_pool(group.place, parsed), ..group };
    let image = spec_named(parsed, ["image-pool", "image-namespace", "image", ""], Strictness::Lenient)?;
    let id = parsed.get("image-id").filter(|id| !id.is_empty());
    Snap::No.check(Role::Only, image.snap.as_ref())?;
    let reference = match (id, image.image) {
        (Some(_), Some(_)) => return Err(Failure::invalid("trying to access image using both name and id. ")),
        (Some(id), None) => ImageRef::Id(ImageId(id.to_owned())),
        (None, Some(name)) => ImageRef::Name(name),
        (None, None) => return Err(Failure::invalid("image name was not specified")),
    };
    let mut place = or_pool(image.place, parsed);
    // Beside a group in a directory an image needs no directory of its own.
    if let (Place::Directory(_), true) = (&group.place, place == Place::default()) {
        place = group.place.clone();
    }
    let matches = match (&group.place, &place) {
        (Place::Pool { namespace, .. }, Place::Pool { namespace: other, .. }) => namespace == other,
        (group, image) => group == image,
    };
    match matches {
        true => Ok((group, place, reference)),
        false => Err(Failure::invalid("group and image namespace must match.")),
    }
}

async fn add(session: &Session, parsed: &Parsed) -> Result<()> {
    let (group, place, image) = group_and_image(parsed)?;
    let images = session.store(&place).await?;
    let added = group.groups(session).await?.add_image(&group.group, &images, &image).await;
    added.map_err(|error| Failure::engine("add image error", &error))
}

async fn remove(session: &Session, parsed: &Parsed) -> Result<()> {
    let (group, place, image) = group_and_image(parsed)?;
    let images = session.store(&place).await?;
    let removed = group.groups(session).await?.remove_image(&group.group, &images, &image).await;
    removed.map_err(|error| Failure::engine("remove image error", &error))
}

/// Of a group that is not there nothing is listed, as in rbd.
async fn list(session: &Session, parsed: &Parsed) -> Result<()> {
    let named = Named::of(parsed, Snap::No)?;
    let format = Format::of(parsed)?;
    let listed = match groups_in(session, &named.place).await?.images(&named.group).await {
        Err(error) if error.kind == ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|error| Failure::engine("failed to list images of the group", &error))?,
    };
    let store = session.store(&named.place).await?;
    let namespace = match &named.place {
        Place::Pool { namespace, .. } => namespace.clone(),
        Place::Directory(_) => String::new(),
    };
    let (mut lines, mut items) = (String::new(), Vec::new());
    for image in listed {
        let pool = group_pool(&store, image.pool).await;
        let state = if image.is_attached { "" } else { "incomplete" };
        let inner = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        lines += &format!("{pool}/{inner}{} {state}\n", image.name);
        items.push(Tree::Object(vec![
            ("image", image.name.into()),
            ("pool", pool.into()),
            ("namespace", namespace.as_str().into()),
            ("state", u64::from(!image.is_attached).into()),
        ]));
    }
    format.print("images", &Tree::List("image", items), || lines)
}
