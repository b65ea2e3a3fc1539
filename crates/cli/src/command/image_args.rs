//! Which image a command is about: from `--pool`, `--namespace`, `--image` and `--snap` (or their `--dest`
//! forms) and a positional specification.
use super::Parsed;
use crate::error::{Failure, Result};
use crate::session::Location;
use crate::spec::{Place, Spec, Strictness, is_directory, parse_pool_spec};
use lsd_engine::{ImageId, ImageRef};
use nix::libc;

/// The image that is worked on or copied from, or the one that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The only image of the command.
    Only,
    Source,
    Destination,
}

/// Whether a specification may name a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snap {
    No,
    Permitted,
    Required,
}

impl Snap {
    /// `EINVAL` if a snapshot was named where there can be none, or none where there must be one.
    pub fn check(self, role: Role, named: Option<&String>) -> Result<()> {
        let why = match (self, named) {
            (Snap::No, Some(_)) => "snapshot name specified for a command that doesn't use it",
            (Snap::Required, None) => "snapshot name was not specified",
            _ => return Ok(()),
        };
        Err(Failure::invalid(format!("{}{why}", role.words())))
    }
}

impl Role {
    fn words(self) -> &'static str {
        match self {
            Role::Only | Role::Source => "",
            Role::Destination => "destination ",
        }
    }

    /// Names of the options for pool, namespace, image and snapshot.
    fn options(self) -> [&'static str; 4] {
        match self {
            Role::Only | Role::Source => ["pool", "namespace", "image", "snap"],
            Role::Destination => ["dest-pool", "dest-namespace", "dest", "dest-snap"],
        }
    }
}

/// Everything that was said about an image; parts that were not are `None`.
pub fn spec_of(parsed: &Parsed, role: Role, strictness: Strictness) -> Result<Spec> {
    spec_named(parsed, role.options(), strictness)
}

/// The same for other names of the options for pool, namespace, image and snapshot.
pub fn spec_named(parsed: &Parsed, options: [&'static str; 4], strictness: Strictness) -> Result<Spec> {
    let [pool, namespace, image, snap] = options;
    let option = |name: &str| parsed.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let place = place_by(option(pool), option(namespace))?;
    let mut found = Spec { place, image: None, snap: option(snap) };
    // The image may be a whole specification, whichever way it was given; the option counts first.
    let text = option(image).or_else(|| parsed.next_positional().map(str::to_owned));
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        merge(&mut found, Spec::parse(&text, strictness)?)?;
    }
    Ok(found)
}

/// A name for a snapshot that is to be made: `/` and `@` are in none.
fn check_new_snap(strictness: Strictness, name: Option<&String>) -> Result<()> {
    match name.filter(|name| strictness == Strictness::NewSnap && name.contains(['/', '@'])) {
        Some(name) => Err(Failure::invalid(format!("invalid snap name '{name}'"))),
        None => Ok(()),
    }
}

/// `--pool` and `--namespace`; a directory may stand where a pool does, and has no namespaces.
fn place_by(pool: Option<String>, namespace: Option<String>) -> Result<Place> {
    match pool.as_deref().filter(|pool| is_directory(pool)).map(parse_pool_spec).transpose()? {
        Some(directory) => without_namespace(namespace.as_deref()).map(|()| directory),
        None => Ok(Place::Pool { pool, namespace: namespace.unwrap_or_default() }),
    }
}

/// What somebody meant to be kept apart must not be taken for the whole.
fn without_namespace(given: Option<&str>) -> Result<()> {
    match given.filter(|name| !name.is_empty()) {
        Some(_) => Err(Failure::new(libc::EOPNOTSUPP, "a directory has no namespaces")),
        None => Ok(()),
    }
}

/// `EINVAL` beside a pool, `EOPNOTSUPP` beside a namespace.
fn without_pool(place: &Place) -> Result<()> {
    match place {
        Place::Pool { pool: Some(pool), .. } => {
            Err(Failure::invalid(format!("a directory has no pools, but pool '{pool}' was given")))
        }
        Place::Pool { namespace, .. } => without_namespace(Some(namespace)),
        Place::Directory(_) => Ok(()),
    }
}

/// Parts of the specification count more than the options; but what a directory does not have must not be named.
fn merge(found: &mut Spec, given: Spec) -> Result<()> {
    match (&mut found.place, given.place) {
        (place, directory @ Place::Directory(_)) => {
            without_pool(place)?;
            *place = directory;
        }
        (Place::Pool { pool, namespace }, Place::Pool { pool: given_pool, namespace: given_namespace }) => {
            if given_pool.is_some() {
                *pool = given_pool;
                *namespace = given_namespace;
            }
        }
        (Place::Directory(_), Place::Pool { .. }) => {}
    }
    found.image = given.image;
    found.snap = given.snap.or_else(|| found.snap.take());
    Ok(())
}

/// The image of a command; `EINVAL` if none was named, or a snapshot where there can be none, or none where there must be one.
pub fn image_location(parsed: &Parsed, role: Role, strictness: Strictness, snap: Snap) -> Result<Location> {
    let spec = spec_of(parsed, role, strictness)?;
    let missing = || Failure::invalid(format!("{}image name was not specified", role.words()));
    let image = spec.image.ok_or_else(missing)?;
    snap.check(role, spec.snap.as_ref())?;
    check_new_snap(strictness, spec.snap.as_ref())?;
    Ok(Location { place: spec.place, image, snap: spec.snap })
}

/// An existing image, without a snapshot.
pub fn existing_image(parsed: &Parsed) -> Result<Location> {
    image_location(parsed, Role::Only, Strictness::Lenient, Snap::No)
}

/// An existing image by its name or with `--image-id`.
pub fn by_name_or_id(parsed: &Parsed, snap: Snap) -> Result<(Location, ImageRef)> {
    let spec = spec_of(parsed, Role::Only, Strictness::Lenient)?;
    let id = parsed.get("image-id").filter(|id| !id.is_empty());
    if id.is_none() && spec.image.is_none() {
        return Err(Failure::invalid("image name was not specified"));
    }
    snap.check(Role::Only, spec.snap.as_ref())?;
    let (name, image) = match (id, spec.image) {
        (Some(_), Some(_)) => return Err(Failure::invalid("trying to access image using both name and id. ")),
        (Some(id), _) => (id.to_owned(), ImageRef::Id(ImageId(id.to_owned()))),
        (None, name) => {
            let name = name.unwrap_or_default();
            (name.clone(), ImageRef::Name(name))
        }
    };
    Ok((Location { place: spec.place, image: name, snap: spec.snap }, image))
}

/// Where `--pool` and `--namespace` point, for an image that is named by its id.
pub fn place_of(parsed: &Parsed) -> Result<Place> {
    let option = |name: &str| parsed.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
    place_by(option("pool"), option("namespace"))
}

/// An image of the trash, which has an id and no name: `--image-id`, else the positional argument. `EINVAL` if there is neither.
pub fn image_id(parsed: &Parsed) -> Result<(Place, ImageId)> {
    let mut found = Spec { place: place_of(parsed)?, ..Spec::default() };
    let given = parsed.get("image-id").filter(|id| !id.is_empty());
    let positional = parsed.next_positional().filter(|text| !text.is_empty());
    // Beside the option it says only which directory.
    if let Some(text) = positional.filter(|text| given.is_none() || is_directory(text)) {
        merge(&mut found, Spec::parse(text, Strictness::Strict)?)?;
    }
    let missing = || Failure::invalid("image id was not specified");
    let id = given.map(str::to_owned).or(found.image).ok_or_else(missing)?;
    Snap::No.check(Role::Only, found.snap.as_ref())?;
    Ok((found.place, ImageId(id)))
}

/// The pool of a command that works on one.
pub fn pool_place(parsed: &Parsed) -> Result<Place> {
    let by_options = place_of(parsed)?;
    let positional = parsed.next_positional().filter(|text| !text.is_empty()).map(parse_pool_spec).transpose()?;
    match (positional, by_options) {
        (Some(Place::Pool { pool, namespace: given }), Place::Pool { namespace, .. }) if given.is_empty() => {
            Ok(Place::Pool { pool, namespace })
        }
        (Some(directory @ Place::Directory(_)), by_options) => without_pool(&by_options).map(|()| directory),
        (Some(place), _) => Ok(place),
        (None, by_options) => Ok(by_options),
    }
}
