//! The stores themselves: pools of a cluster, and directories.
use crate::error::{Failure, Result};
use crate::globals::Globals;
use crate::output::warn_named;
use lsd_rados::stock::StockBases;
use lsd_rados::{Cluster, ConnectOptions, RadosError, RadosStore};
use lsd_store::{DirStore, FileBases, ObjectStore, PoolId, StoreError};
use nix::libc;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

use super::once::Kept;
use super::unreachable::why;

/// The application that a pool of images is for, the same as RBD's: clients' capabilities and Ceph's health go by it.
const APPLICATION: &str = "rbd";

/// A connection to a cluster.
#[derive(Debug)]
pub struct Connection {
    cluster: Cluster,
}

impl Connection {
    /// Connects on a thread that may block. `conf`: the configuration file that was read.
    pub async fn open(globals: &Globals, conf: Option<PathBuf>, kept: &Kept) -> Result<Self> {
        let options = ConnectOptions {
            conf_file: conf,
            cluster: globals.cluster.clone(),
            name: globals.name.clone(),
            settings: globals.overrides.clone(),
            ..ConnectOptions::default()
        };
        let connect = move || Cluster::connect(&options).map_err(|error| (error.errno, why(&options, error.errno)));
        let cluster = blocking(connect).await?.map_err(|(errno, why)| {
            warn_named("couldn't connect to the cluster!");
            warn_named(&kept.in_users_words(&why));
            Failure::silent(errno)
        })?;
        Ok(Self { cluster })
    }

    /// Opens bases of images: stock RBD images, and files. `library`: the file that is the stock librbd, if settings name one.
    pub fn bases(&self, library: Option<String>) -> StockBases {
        StockBases::new(self.cluster.clone(), Handle::current(), library, Arc::new(FileBases))
    }

    /// A setting that librados knows.
    pub fn setting(&self, key: &str) -> Option<String> {
        self.cluster.conf_get(key)
    }

    pub async fn open_pool(&self, pool: &str, namespace: &str) -> Result<Arc<dyn ObjectStore>> {
        let (cluster, name, namespace) = (self.cluster.clone(), pool.to_owned(), namespace.to_owned());
        let runtime = Handle::current();
        let open = move || {
            let mut io = cluster.open_pool(&name)?;
            if !namespace.is_empty() {
                io = io.with_namespace(&namespace)?;
            }
            RadosStore::new(io, runtime)
        };
        let store = blocking(open).await?;
        let failed = |error: RadosError| {
            let failure = Failure::errno(&format!("error opening pool '{pool}'"), error.errno);
            match [".", ".."].contains(&pool) && error.errno == libc::ENOENT {
                // `./disk` is an image in a pool.
                true => {
                    Failure { message: format!("{failure} (an image in a directory is dir:PATH/IMAGE)"), ..failure }
                }
                false => failure,
            }
        };
        Ok(Arc::new(store.map_err(failed)?))
    }

    /// Marks a pool as used by images; `force`: even if something else uses it.
    pub async fn init_pool(&self, name: &str, force: bool) -> Result<std::result::Result<(), RadosError>> {
        let (cluster, pool) = (self.cluster.clone(), name.to_owned());
        blocking(move || cluster.open_pool(&pool)?.application_enable(APPLICATION, force)).await
    }

    /// Asks the monitors. The answer, or an errno and what they say of it.
    pub async fn mon_command(&self, command: serde_json::Value) -> Result<std::result::Result<Vec<u8>, (i32, String)>> {
        let (cluster, command) = (self.cluster.clone(), command.to_string());
        let asked = command.clone();
        let answer = blocking(move || cluster.mon_command(&asked, b"")).await?;
        Ok(answer.map(|(output, _)| output).map_err(|error| {
            let status = error.object.strip_prefix(&command).unwrap_or_default().trim_start_matches(": ").to_owned();
            (error.errno, status)
        }))
    }

    /// The number of a pool.
    pub async fn pool_id(&self, name: &str) -> std::result::Result<PoolId, StoreError> {
        let (cluster, pool) = (self.cluster.clone(), name.to_owned());
        let stopped = |_| StoreError::from_errno(libc::EIO, "pool lookup", name);
        let id = tokio::task::spawn_blocking(move || cluster.pool_lookup(&pool)).await.map_err(stopped)?;
        Ok(id?)
    }
}

/// Runs what blocks where that does no harm.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(libc::EIO, format!("a thread stopped: {error}")))
}

/// `create`: makes a store of the directory, or makes the directory, if it is none yet. Its parent must be there.
pub async fn open_directory(path: &Path, create: bool) -> Result<Arc<dyn ObjectStore>> {
    let what = format!("error opening directory '{}'", path.display());
    if !create && !path.is_dir() {
        let errno = if path.exists() { libc::ENOTDIR } else { libc::ENOENT };
        return Err(Failure::errno(&what, errno));
    }
    let owned = path.to_owned();
    let open = move || if create { DirStore::open(&owned) } else { DirStore::open_existing(&owned) };
    let failed = |error: StoreError| {
        let mut failure = Failure::errno(&what, error.errno);
        if !error.detail.is_empty() {
            failure.message = format!("{}: {}", failure.message, error.detail);
        }
        failure
    };
    Ok(Arc::new(blocking(open).await?.map_err(failed)?))
}
