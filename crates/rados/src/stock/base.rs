//! A snapshot of a stock image as the base of an image of lsd.
//!
//! Owns: how it is named in a header, that it is the one that it was, and reading it. Does not own: the image over it (the engine).
use super::hold::{self, Protection};
use super::image::{Named, StockImage};
use super::library::{Library, load};
use super::moved::{self, StockMoved};
use crate::Cluster;
use crate::error::{RadosError, RadosResult};
use crate::ioctx::IoCtx;
use bytes::Bytes;
use lsd_store::{
    Base, BaseSpec, ForeignFound, ForeignImage, ForeignPlace, OpenBases, PoolId, StoreError, StoreErrorKind,
    StoreFuture,
};
use nix::libc;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use tokio::runtime::Handle;

/// The kind of such a base.
pub const RBD_BASE: &str = "rbd";

/// Which snapshot, by what does not change: a pool's number, a namespace, an image's id, a snapshot's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockSnapshot {
    pub pool: PoolId,
    pub namespace: String,
    pub image: String,
    pub snapshot: u64,
}

impl fmt::Display for StockSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}@{}", self.pool.0, self.namespace, self.image, self.snapshot)
    }
}

impl StockSnapshot {
    /// What [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (pool, rest) = text.split_once('/')?;
        let (namespace, rest) = rest.split_once('/')?;
        let (image, snapshot) = rest.split_once('@')?;
        let (pool, snapshot) = (pool.parse().ok()?, snapshot.parse().ok()?);
        let is_id = !image.is_empty() && image.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_id.then(|| Self { pool: PoolId(pool), namespace: namespace.to_owned(), image: image.to_owned(), snapshot })
    }
}

/// Opens bases that are stock images, and those that another one opens.
#[derive(Clone)]
pub struct StockBases {
    cluster: Cluster,
    runtime: Handle,
    /// The file that settings name as the stock library.
    library: Option<String>,
    others: Arc<dyn OpenBases>,
}

impl fmt::Debug for StockBases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StockBases")
            .field("cluster", &self.cluster)
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

impl StockBases {
    /// `library`: the file that settings name as the stock library. `runtime` must outlive every base.
    pub fn new(cluster: Cluster, runtime: Handle, library: Option<String>, others: Arc<dyn OpenBases>) -> Self {
        Self { cluster, runtime, library, others }
    }

    /// Whether a stock image has the name.
    pub async fn is_there(&self, (pool, namespace): (&str, &str), image: &str) -> RadosResult<bool> {
        match self.name_object((pool, namespace), image).await {
            Ok(_) => Ok(true),
            Err(error) if error.errno == libc::ENOENT => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The pool and namespace, if an image has that name there. ENOENT.
    async fn name_object(&self, (pool, namespace): (&str, &str), image: &str) -> RadosResult<IoCtx> {
        let (cluster, pool, namespace) = (self.cluster.clone(), pool.to_owned(), namespace.to_owned());
        let io = self.blocking(move || cluster.open_pool(&pool)?.with_namespace(&namespace)).await?;
        // The object that a name of RBD's is: to look at it needs no library.
        io.stat(&format!("rbd_id.{image}")).await?;
        Ok(io)
    }

    /// What an image over a snapshot of an image in this pool and namespace would have as its base. ENOENT: no such image or snapshot;
    /// EINVAL: the snapshot is not protected; EOPNOTSUPP, with the reason: there is no stock library.
    pub async fn look_at(
        &self,
        (pool, namespace): (&str, &str),
        image: &str,
        snapshot: &str,
    ) -> RadosResult<(BaseSpec, StockSnapshot)> {
        let io = self.name_object((pool, namespace), image).await?;
        let (this, image, snapshot) = (self.clone(), image.to_owned(), snapshot.to_owned());
        let looked = self.blocking(move || {
            let opened = this.open_image(io.clone(), Named::Name(&image))?;
            let (number, protected) = opened.snapshot(&snapshot)?;
            if !protected {
                return Err(RadosError::new(
                    libc::EINVAL,
                    "clone",
                    format!("{image}@{snapshot}, which is not protected"),
                ));
            }
            opened.show(number)?;
            Self::spec_of(&io, &opened, number)
        });
        looked.await
    }

    /// Keeps the snapshot for the image of this id.
    pub async fn hold(&self, snapshot: &StockSnapshot, image: &str) -> RadosResult<()> {
        hold::hold(&self.pool_of(snapshot).await?, &snapshot.image, snapshot.snapshot, &child(image)).await
    }

    /// Lets go of it.
    pub async fn let_go(&self, snapshot: &StockSnapshot, image: &str) -> RadosResult<()> {
        hold::release(&self.pool_of(snapshot).await?, &snapshot.image, snapshot.snapshot, &child(image)).await
    }

    async fn pool_of(&self, snapshot: &StockSnapshot) -> RadosResult<IoCtx> {
        self.place(snapshot.pool, &snapshot.namespace).await
    }

    pub(super) fn open_image(&self, io: IoCtx, image: Named) -> RadosResult<StockImage> {
        StockImage::open(self.stock_library()?, io, image)
    }

    pub(super) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// EOPNOTSUPP: there is none.
    pub(super) fn stock_library(&self) -> RadosResult<&'static Library> {
        load(&|| self.library.clone()).map_err(|why| {
            RadosError::new(libc::EOPNOTSUPP, "open", format!("a stock RBD image: no stock librbd ({why})"))
        })
    }

    /// A pool and namespace, by what does not change.
    pub(super) async fn place(&self, pool: PoolId, namespace: &str) -> RadosResult<IoCtx> {
        let (cluster, namespace) = (self.cluster.clone(), namespace.to_owned());
        self.blocking(move || cluster.open_pool_id(pool)?.with_namespace(&namespace)).await
    }

    /// What an image over this snapshot has as its base. `opened` shows it.
    pub(super) fn spec_of(io: &IoCtx, opened: &StockImage, snapshot: u64) -> RadosResult<(BaseSpec, StockSnapshot)> {
        let named =
            StockSnapshot { pool: io.pool_id(), namespace: io.namespace().to_owned(), image: opened.id()?, snapshot };
        let spec = BaseSpec {
            kind: RBD_BASE.to_owned(),
            spec: named.to_string(),
            identity: identity(opened)?,
            size: opened.size()?,
        };
        Ok((spec, named))
    }

    fn open_base(&self, spec: &BaseSpec) -> Result<StockBase, StoreError> {
        let named = named(spec, "open base")?;
        let io = self.cluster.open_pool_id(named.pool)?.with_namespace(&named.namespace)?;
        let image = self.open_image(io.clone(), Named::Id(&named.image))?;
        image.show(named.snapshot)?;
        if image.size()? != spec.size || identity(&image)? != spec.identity {
            let error = StoreError::new(StoreErrorKind::Stale, "open base", spec.spec.clone());
            return Err(error.with_detail("it is not the image that it was"));
        }
        let name = format!("RBD snapshot {}", spec.spec);
        Ok(StockBase { image: Arc::new(image), io, named, name, size: spec.size, runtime: self.runtime.clone() })
    }

    pub(super) async fn blocking<T: Send + 'static, E: From<RadosError> + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        blocking(&self.runtime, work).await
    }
}

/// On a thread that may block.
pub(super) async fn blocking<T: Send + 'static, E: From<RadosError> + Send + 'static>(
    runtime: &Handle,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let done = runtime.spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(RadosError::new(libc::EIO, "base", "a thread that ended").into()))
}

/// `Invalid`.
fn named(spec: &BaseSpec, op: &'static str) -> Result<StockSnapshot, StoreError> {
    let invalid = || {
        let error = StoreError::new(StoreErrorKind::Invalid, op, spec.spec.clone());
        error.with_detail("it names no snapshot of a stock image")
    };
    StockSnapshot::parse(&spec.spec).ok_or_else(invalid)
}

/// An image of lsd among RBD's children.
pub(super) fn child(image: &str) -> String {
    format!("lsd_{image}")
}

/// What tells an image from another in its place.
fn identity(image: &StockImage) -> RadosResult<String> {
    let (seconds, nanoseconds) = image.created()?;
    Ok(format!("{seconds}.{nanoseconds:09}"))
}

impl OpenBases for StockBases {
    fn open(&self, spec: &BaseSpec) -> StoreFuture<Arc<dyn Base>> {
        if spec.kind != RBD_BASE {
            return self.others.open(spec);
        }
        let (this, spec) = (self.clone(), spec.clone());
        Box::pin(async move {
            let opening = this.clone();
            let opened: Result<StockBase, StoreError> = this.blocking(move || opening.open_base(&spec)).await;
            let base: Arc<dyn Base> = Arc::new(opened?);
            Ok(base)
        })
    }

    /// Needs no stock library, as the others below.
    fn let_go(&self, spec: &BaseSpec, image: &str) -> StoreFuture<()> {
        if spec.kind != RBD_BASE {
            return self.others.let_go(spec, image);
        }
        let (this, named, image) = (self.clone(), named(spec, "let go of base"), image.to_owned());
        Box::pin(async move { Ok(this.let_go(&named?, &image).await?) })
    }

    fn is_kept(&self, spec: &BaseSpec, image: &str) -> StoreFuture<bool> {
        if spec.kind != RBD_BASE {
            return self.others.is_kept(spec, image);
        }
        let (this, named, child) = (self.clone(), named(spec, "look at base"), child(image));
        Box::pin(async move {
            let named = named?;
            let children = hold::children(&this.pool_of(&named).await?, &named.image, named.snapshot).await?;
            Ok(children.contains(&child))
        })
    }

    fn keep(&self, spec: &BaseSpec, image: &str) -> StoreFuture<()> {
        if spec.kind != RBD_BASE {
            return self.others.keep(spec, image);
        }
        let (this, named, image, name) = (self.clone(), named(spec, "keep base"), image.to_owned(), spec.spec.clone());
        Box::pin(async move {
            let named = named?;
            this.hold(&named, &image).await?;
            let io = this.pool_of(&named).await?;
            if hold::protection(&io, &named.image, named.snapshot).await? == Protection::Whole {
                return Ok(());
            }
            // The entry stays: an image that needs its base has rather one too many than none.
            Err(StoreError::new(StoreErrorKind::Stale, "keep base", name).with_detail("it is gone, or not protected"))
        })
    }

    fn foreign(&self, place: &ForeignPlace) -> StoreFuture<Arc<dyn ForeignImage>> {
        if place.kind != RBD_BASE {
            return self.others.foreign(place);
        }
        let (this, place) = (self.clone(), place.clone());
        Box::pin(async move {
            let io = this.place(place.pool, &place.namespace).await?;
            let image: Arc<dyn ForeignImage> = Arc::new(StockMoved::new(this, io, place.id));
            Ok(image)
        })
    }

    /// Needs no stock library.
    fn find_foreign(&self, (pool, namespace): (PoolId, &str), name: &str) -> StoreFuture<Vec<ForeignFound>> {
        let (this, namespace, name) = (self.clone(), namespace.to_owned(), name.to_owned());
        Box::pin(async move { Ok(moved::find(&this.place(pool, &namespace).await?, &name).await?) })
    }
}

#[derive(Debug)]
struct StockBase {
    image: Arc<StockImage>,
    /// The parent's pool and namespace.
    io: IoCtx,
    named: StockSnapshot,
    name: String,
    size: u64,
    runtime: Handle,
}

impl StockBase {
    /// What `work` gives counts if nobody could have removed the snapshot by then: objects that are gone read as zeroes. `Stale`.
    fn while_it_stays<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&StockImage) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<T> {
        let (image, runtime, name) = (self.image.clone(), self.runtime.clone(), self.name.clone());
        let (io, named) = (self.io.clone(), self.named.clone());
        Box::pin(async move {
            let done = blocking(&runtime, move || work(&image)).await;
            match hold::protection(&io, &named.image, named.snapshot).await? {
                Protection::Whole | Protection::Going => done,
                Protection::None => {
                    let why = "it is gone, or nothing keeps it from going";
                    Err(StoreError::new(StoreErrorKind::Stale, op, name).with_detail(why))
                }
            }
        })
    }
}

impl Base for StockBase {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, len: u64) -> StoreFuture<Bytes> {
        let read = move |image: &StockImage| {
            let len = usize::try_from(len).map_err(|_| RadosError::new(libc::EINVAL, "read base", ""))?;
            Ok(Bytes::from(image.read(offset, len)?))
        };
        self.while_it_stays("read", read)
    }

    fn data(&self, offset: u64, len: u64) -> StoreFuture<Vec<Range<u64>>> {
        self.while_it_stays("extents", move |image| Ok(image.data(offset, len)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_named_by_what_does_not_change() {
        let named = StockSnapshot { pool: PoolId(3), namespace: "n".into(), image: "10226b8b4567".into(), snapshot: 4 };
        assert_eq!(named.to_string(), "3/n/10226b8b4567@4");
        assert_eq!(StockSnapshot::parse("3/n/10226b8b4567@4"), Some(named));
        for wrong in ["", "3/10226@4", "x//10226@4", "3//@4", "3//10226", "3//10226@", "3//../x@4"] {
            assert_eq!(StockSnapshot::parse(wrong), None, "{wrong}");
        }
    }
}
