//! From a specification to an open store or image.
//!
//! Owns: the one connection to a cluster that a command has, the settings it reads, rbd's words for what fails on
//! the way. Does not own: what a command does with it.
use crate::error::{Failure, Result};
use crate::globals::Globals;
use crate::spec::{Place, Spec, Strictness, path_hint};
use lsd_engine::{
    Bases, ErrorKind, Image, ImageRef, Namespaces, OpenOptions, ParentCache, PoolMetadata, STOCK_LIBRARY_OPTION,
    Settings, SnapRef, unknown_options,
};
use lsd_rados::conf_file::ConfFile;
use lsd_rados::stock::StockBases;
use lsd_store::ObjectStore;
use nix::libc;
use once::Kept;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use tokio::sync::{Mutex, OnceCell};

mod cluster;
mod log;
mod names;
mod once;
mod unreachable;
pub use cluster::Connection;

/// Where one image is. Made from a specification and the options `--pool`, `--namespace`, `--image` and `--snap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub place: Place,
    pub image: String,
    pub snap: Option<String>,
}

impl Location {
    /// Takes one specification of an existing image; `EINVAL` if it cannot be taken apart or names no image.
    pub fn parse(text: &str) -> Result<Self> {
        let Spec { place, image, snap } = Spec::parse(text, Strictness::Lenient)?;
        let image = image.ok_or_else(|| Failure::invalid("image name was not specified"))?;
        Ok(Self { place, image, snap })
    }

    /// As [`Session::store_or_create`], for an image to be made. `EINVAL`: a folder is where the image would be, so whoever meant a store
    /// with `dir:PATH` would make one of the folder that holds it.
    pub async fn store_for_new(&self, session: &Session) -> Result<Arc<dyn ObjectStore>> {
        if let Place::Directory(path) = &self.place {
            let folder = path.join(&self.image);
            if folder.is_dir() && session.store(&self.place).await.is_err() {
                let reason = format!("{} is a folder: an image in a directory is dir:PATH/NAME", folder.display());
                return Err(Failure::invalid(reason));
            }
        }
        session.store_or_create(&self.place).await
    }

    pub async fn store(&self, session: &Session) -> Result<Arc<dyn ObjectStore>> {
        session.store(&self.place).await
    }

    /// The image without the snapshot.
    #[must_use]
    pub fn head(&self) -> Self {
        Self { snap: None, ..self.clone() }
    }

    /// Opens the image, or the snapshot, with the session's settings. A snapshot that does not exist is `ENOENT`.
    pub async fn open_image(&self, session: &Session, read_only: bool) -> Result<Image> {
        session.open_image(self, read_only).await
    }

    /// To read all of it as it is now, or as the snapshot has it; where it is written to meanwhile and that is gone, reads fail.
    pub async fn open_moment(&self, session: &Session) -> Result<Image> {
        session.open(self, ImageRef::Name(self.image.clone()), true, self.snap.is_none()).await
    }
}

/// One run of a command: how to reach things, and the connection once there is one.
#[derive(Debug)]
pub struct Session {
    globals: Globals,
    conf: ConfFile,
    /// The file that `conf` was read from.
    conf_path: Option<PathBuf>,
    /// What of the files could be read only once.
    kept: Kept,
    connection: OnceCell<Connection>,
    /// Stores that were opened: one for each place, so that everything in it is done by one client.
    stores: Mutex<Vec<(Place, Arc<dyn ObjectStore>)>>,
    /// What the images of a cluster, or of a directory, share of their parents.
    parents: std::sync::Mutex<BTreeMap<Option<PathBuf>, ParentCache>>,
    /// What was said already.
    warned: std::sync::Mutex<Vec<String>>,
}

impl Session {
    /// Reads ceph.conf. A file named by the caller must be readable; the usual places may be empty.
    pub fn new(mut globals: Globals) -> Result<Self> {
        let home = std::env::var("HOME").ok();
        let candidates = globals.conf_candidates(home.as_deref());
        let mut kept = Kept::default();
        let mut read = |path: &PathBuf| {
            let path = kept.keep(path).ok()?;
            Some((std::fs::read_to_string(&path).ok()?, path))
        };
        let found = candidates.iter().find_map(&mut read);
        for (_, path) in globals.overrides.iter_mut().filter(|(key, _)| ["keyring", "keyfile"].contains(&key.as_str()))
        {
            // What cannot be read is for librados to refuse: it may be a list, and is not needed for a directory.
            if let Ok(copy) = kept.keep(path.as_ref()) {
                *path = copy.display().to_string();
            }
        }
        if found.is_none() && globals.conf.is_some() {
            let list: Vec<String> = candidates.iter().map(|path| path.display().to_string()).collect();
            let message = format!("global_init: unable to open config file from search list {}", list.join(" "));
            return Err(Failure::bare(1, message));
        }
        let (conf, conf_path) = match found {
            Some((text, path)) => (ConfFile::parse(&text), Some(path)),
            None => (ConfFile::default(), None),
        };
        Ok(Self {
            globals,
            conf,
            conf_path,
            kept,
            connection: OnceCell::new(),
            stores: Mutex::default(),
            parents: std::sync::Mutex::default(),
            warned: std::sync::Mutex::default(),
        })
    }

    pub fn globals(&self) -> &Globals {
        &self.globals
    }

    /// The text of a setting: from the command line, else from the cluster's client (if there is a connection; it
    /// knows Ceph's own settings and their defaults), else from ceph.conf.
    pub fn setting(&self, key: &str) -> Option<String> {
        let from_cluster = || self.connection.get().and_then(|connection| connection.setting(key));
        let from_file = || self.conf.get(self.globals.entity(), key).map(str::to_owned);
        self.globals.setting(key).map(str::to_owned).or_else(from_cluster).or_else(from_file)
    }

    /// The pool of a specification that names none.
    pub fn default_pool(&self) -> String {
        self.setting("rbd_default_pool").filter(|pool| !pool.is_empty()).unwrap_or_else(|| "rbd".to_owned())
    }

    /// The text of a setting for what is made in a store (`rbd_default_*`): the pool's own word counts more than the session's.
    pub async fn settings_for_new(
        &self,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<impl Fn(&str) -> Option<String> + use<'_>> {
        let known = self.stores.lock().await.iter().find(|(_, known)| Arc::ptr_eq(known, store)).cloned();
        let pool = match known {
            Some((Place::Pool { pool, namespace }, _)) if !namespace.is_empty() => {
                self.store(&Place::Pool { pool, namespace: String::new() }).await?
            }
            _ => store.clone(),
        };
        let overrides = PoolMetadata::new(pool).overrides().await;
        let overrides = overrides.map_err(|error| Failure::engine("error reading the pool's metadata", &error))?;
        Ok(move |key: &str| overrides.get(key).cloned().or_else(|| self.setting(key)))
    }

    /// Settings of the images that this session opens. `EINVAL`, with the option's name: one of them is not understood.
    pub fn image_settings(&self) -> Result<Settings> {
        let file = self.conf.options(self.globals.entity());
        let given = self.globals.overrides.iter().map(|(name, _)| name.as_str());
        let named = file.keys().map(String::as_str).chain(given).filter(|name| !lsd_log::is_option(name));
        for name in unknown_options(named) {
            self.warn_once(format!("lsd: there is no option {name}: it has no effect"));
        }
        Settings::from_options(&|key| self.setting(key)).map_err(|error| Failure::invalid(error.to_string()))
    }

    /// How this session opens images in a place.
    pub async fn open_options(&self, place: &Place, read_only: bool) -> Result<OpenOptions> {
        let pool = match place {
            Place::Pool { pool, namespace } if !namespace.is_empty() => {
                let root = Place::Pool { pool: pool.clone(), namespace: String::new() };
                Some(self.store(&root).await?)
            }
            _ => None,
        };
        let parents = Some(self.parents_in(place));
        let bases = self.bases(place).await?;
        Ok(OpenOptions { read_only, settings: self.image_settings()?, pool, parents, bases, ..OpenOptions::default() })
    }

    /// Who opens the bases of a place's images, and lets go of them.
    pub async fn bases(&self, place: &Place) -> Result<Bases> {
        match place {
            Place::Directory(_) => Ok(Bases::default()),
            Place::Pool { .. } => Ok(Bases::new(Arc::new(self.stock_bases().await?))),
        }
    }

    /// Stock RBD images as bases of images.
    pub async fn stock_bases(&self) -> Result<StockBases> {
        Ok(self.connection().await?.bases(self.setting(STOCK_LIBRARY_OPTION)))
    }

    fn parents_in(&self, place: &Place) -> ParentCache {
        let directory = match place {
            Place::Directory(path) => Some(path.clone()),
            Place::Pool { .. } => None,
        };
        self.parents.lock().unwrap_or_else(PoisonError::into_inner).entry(directory).or_default().clone()
    }

    fn warn_once(&self, line: String) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if !warned.contains(&line) {
            crate::output::warn(&line);
            warned.push(line);
        }
    }

    /// The cluster, connected on first use.
    pub async fn connection(&self) -> Result<&Connection> {
        self.connection.get_or_try_init(|| Connection::open(&self.globals, self.conf_path.clone(), &self.kept)).await
    }

    /// `ENOENT` if the pool or directory does not exist.
    pub async fn store(&self, place: &Place) -> Result<Arc<dyn ObjectStore>> {
        self.open_store(place, false).await
    }

    /// As [`Self::store`], but makes a directory that is not there yet: for new images.
    pub async fn store_or_create(&self, place: &Place) -> Result<Arc<dyn ObjectStore>> {
        self.open_store(place, true).await
    }

    async fn open_store(&self, place: &Place, create: bool) -> Result<Arc<dyn ObjectStore>> {
        let mut stores = self.stores.lock().await;
        if let Some((_, store)) = stores.iter().find(|(known, _)| known == place) {
            return Ok(store.clone());
        }
        let store = self.open_new_store(place, create).await?;
        stores.push((place.clone(), store.clone()));
        Ok(store)
    }

    async fn open_new_store(&self, place: &Place, create: bool) -> Result<Arc<dyn ObjectStore>> {
        match place {
            Place::Directory(path) => cluster::open_directory(path, create).await,
            Place::Pool { pool, namespace } => {
                let connection = self.connection().await?;
                let pool = pool.clone().unwrap_or_else(|| self.default_pool());
                let store = connection.open_pool(&pool, namespace).await?;
                if !namespace.is_empty() {
                    check_namespace(&connection.open_pool(&pool, "").await?, namespace).await?;
                }
                Ok(store)
            }
        }
    }

    pub async fn open_image(&self, location: &Location, read_only: bool) -> Result<Image> {
        self.open_ref(location, ImageRef::Name(location.image.clone()), read_only).await
    }

    /// Opens what `image` names in the place of `location`, at its snapshot if it has one.
    pub async fn open_ref(&self, location: &Location, image: ImageRef, read_only: bool) -> Result<Image> {
        self.open(location, image, read_only, false).await
    }

    async fn open(&self, location: &Location, image: ImageRef, read_only: bool, hold_moment: bool) -> Result<Image> {
        self.open_at(location, image, location.snap.clone().map(SnapRef::Name), read_only, hold_moment).await
    }

    /// Opens a snapshot that the location does not name.
    pub async fn open_snapshot(&self, location: &Location, snapshot: SnapRef) -> Result<Image> {
        self.open_at(location, ImageRef::Name(location.image.clone()), Some(snapshot), true, false).await
    }

    async fn open_at(
        &self,
        location: &Location,
        image: ImageRef,
        snapshot: Option<SnapRef>,
        read_only: bool,
        hold_moment: bool,
    ) -> Result<Image> {
        let store = self.store(&location.place).await?;
        let at_snapshot = snapshot.is_some();
        let options = OpenOptions { hold_moment, snapshot, ..self.open_options(&location.place, read_only).await? };
        let image = match Image::open(&store, &image, &options).await {
            Ok(opened) => opened,
            Err(error) if at_snapshot && error.kind == ErrorKind::NotFound => {
                return Err(self.not_found(location, &image, error).await);
            }
            Err(error) => return Err(opening_failed(location, &image, &error)),
        };
        tracing::debug!(target: "lsd::api", image = %location.image, op = "open", read_only, "a command opened it");
        for fault in image.option_faults() {
            self.warn_once(format!("lsd: {}: {fault}", location.image));
        }
        Ok(image)
    }

    /// What is missing: the image, or only its snapshot.
    async fn not_found(&self, location: &Location, image: &ImageRef, error: lsd_engine::Error) -> Failure {
        match Box::pin(self.open(&location.head(), image.clone(), true, false)).await {
            Ok(head) => {
                let closed = head.close().await.map_err(|e| Failure::engine("error closing image", &e));
                let words = format!("error setting snapshot context: {}", crate::error::describe_errno(error.errno()));
                closed.err().unwrap_or_else(|| Failure::bare(error.errno(), words))
            }
            Err(failure) => failure,
        }
    }
}

fn opening_failed(location: &Location, image: &ImageRef, error: &lsd_engine::Error) -> Failure {
    let name = match image {
        ImageRef::Name(name) => name,
        ImageRef::Id(id) => return Failure::engine(&format!("error opening image with id {id}"), error),
    };
    let failure = Failure::engine(&format!("error opening image {name}"), error);
    // rbd takes `rbd/` and `/a/b` for names of images in the default pool, and leaves it at that.
    let hint = match (name.strip_suffix('/'), &location.place) {
        _ if error.kind != ErrorKind::NotFound => String::new(),
        (Some(pool), _) => format!(" ('{name}' names no image: {pool}/NAME is one in the pool {pool})"),
        (None, Place::Pool { pool: None, .. }) => path_hint(name),
        _ => String::new(),
    };
    Failure { message: format!("{failure}{hint}"), ..failure }
}

/// `ENOENT` if the pool has no such namespace.
async fn check_namespace(pool: &Arc<dyn ObjectStore>, namespace: &str) -> Result<()> {
    let known = Namespaces::new(pool.clone()).exists(namespace).await;
    match known.map_err(|error| Failure::engine("error validating namespace", &error))? {
        true => Ok(()),
        false => Err(Failure::new(libc::ENOENT, format!("namespace '{namespace}' does not exist."))),
    }
}
