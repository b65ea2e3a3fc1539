//! The pool behind a caller's `rados_ioctx_t`, and the settings of its cluster handle.
use crate::ffi::ctypes::rados_ioctx_t;
use crate::ffi::errno::{Errno, Outcome, told};
use crate::runtime::process::{Core, core};
use lsd_engine::{Bases, OpenOptions, PoolMetadata, STOCK_LIBRARY_OPTION, Settings, unknown_options};
use lsd_rados::stock::StockBases;
use lsd_rados::{ClusterUse, IoCtx, RadosStore};
use lsd_store::{FileBases, ObjectStore, PoolId};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A caller's pool and namespace, opened once more.
pub struct Pool {
    pub store: Arc<dyn ObjectStore>,
    io: IoCtx,
    core: &'static Core,
    /// What the pool's metadata says, by the names of the options; once it was looked at.
    overrides: OnceLock<BTreeMap<String, String>>,
}

impl Pool {
    /// Opens the caller's pool and namespace, so that the caller may destroy its context while an image is open.
    ///
    /// # Safety
    /// Null, or a live io context whose cluster handle outlives every image opened with it.
    pub unsafe fn adopt(io: rados_ioctx_t) -> Outcome<Self> {
        if io.is_null() {
            return Err(Errno::EINVAL);
        }
        let core = core()?;
        // SAFETY: the same contract.
        let io = unsafe { IoCtx::from_raw(io) }?;
        crate::ffi::log::start(&|key| io.cluster().conf_get(key));
        let store = Arc::new(RadosStore::new(io.clone(), core.handle().clone())?);
        Ok(Self { store, io, core, overrides: OnceLock::new() })
    }

    /// To wait for the end of every use of this pool, after dropping it.
    pub fn end(&self) -> PoolEnd {
        PoolEnd(Some(self.io.cluster().usage()))
    }

    /// A setting of the caller's cluster handle; `lsd_*` ones from its ceph.conf, as far as that can be found.
    pub fn setting(&self, key: &str) -> Option<String> {
        self.io.cluster().conf_get(key)
    }

    /// Looks at what the pool says of what is made in it, for [`Pool::default_of`].
    pub async fn look_at_overrides(&self) -> Outcome<()> {
        let overrides = self.metadata()?.overrides().await?;
        // Who looked before found the same.
        let _ = self.overrides.set(overrides);
        Ok(())
    }

    /// A setting for what is made in the pool (`rbd_default_*`): the pool's own word counts more than the caller's.
    pub fn default_of(&self, key: &str) -> Option<String> {
        let own = self.overrides.get().and_then(|overrides| overrides.get(key).cloned());
        own.or_else(|| self.setting(key))
    }

    /// How images are opened with the settings of the caller's cluster handle. EINVAL, told on stderr: one of them is
    /// not understood.
    pub fn open_options(&self, read_only: bool) -> Outcome<OpenOptions> {
        let own = self.io.cluster().own_settings();
        for name in unknown_options(own.iter().map(String::as_str).filter(|name| !lsd_log::is_option(name))) {
            crate::ffi::log::once(format!("there is no option {name}: it has no effect"));
        }
        let settings = Settings::from_options(&|key| self.setting(key)).map_err(told)?;
        let pool = if self.io.namespace().is_empty() { None } else { Some(self.in_namespace("")?) };
        Ok(OpenOptions {
            read_only,
            hold_moment: false,
            settings,
            pool,
            executor: self.core.executor(),
            snapshot: None,
            bases: self.bases(),
            parents: Some(self.core.parents(&self.io.cluster().fsid()?)),
        })
    }

    /// Who opens the bases of images, and lets go of them: stock images, and files.
    pub fn bases(&self) -> Bases {
        let (cluster, runtime) = (self.io.cluster().clone(), self.core.handle().clone());
        let library = self.setting(STOCK_LIBRARY_OPTION);
        Bases::new(Arc::new(StockBases::new(cluster, runtime, library, Arc::new(FileBases))))
    }

    /// The pool's own metadata, which is that of its default namespace.
    pub fn metadata(&self) -> Outcome<PoolMetadata> {
        Ok(PoolMetadata::new(self.in_namespace("")?))
    }

    /// ENOENT.
    pub fn pool_id_of(&self, name: &str) -> Outcome<PoolId> {
        Ok(self.io.cluster().pool_lookup(name)?)
    }

    /// Whether there is an object of that name in the pool and namespace.
    pub async fn has_object(&self, name: &str) -> Outcome<bool> {
        match self.io.stat(name).await {
            Ok(_) => Ok(true),
            Err(error) if error.errno == Errno::ENOENT.0 => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Names the pool's application. EPERM if it has another, unless forced.
    pub fn enable_application(&self, name: &str, force: bool) -> Outcome<()> {
        Ok(self.io.application_enable(name, force)?)
    }

    /// The same pool in another namespace.
    pub fn in_namespace(&self, namespace: &str) -> Outcome<Arc<dyn ObjectStore>> {
        let io = self.io.with_namespace(namespace)?;
        Ok(Arc::new(RadosStore::new(io, self.core.handle().clone())?))
    }
}

/// Tells when a pool that was adopted is let go by everything that used it: tasks of the engine, and operations that
/// they left in flight when they were ended, whose buffers librados never gives back after a shutdown.
#[derive(Default)]
pub struct PoolEnd(Option<ClusterUse>);

/// An end that takes longer than this is not waited for; it would be a leak.
const END_TIMEOUT: Duration = Duration::from_secs(5);
const END_POLL: Duration = Duration::from_millis(1);

impl PoolEnd {
    /// Waits until nothing uses the pool, nor another pool of its image. Callers shut their cluster handle down after
    /// closing their last image, and no task of the engine may touch it then.
    pub async fn reached(self) {
        let until = Instant::now() + END_TIMEOUT;
        while self.0.as_ref().is_some_and(|cluster| !cluster.is_over()) && Instant::now() < until {
            tokio::time::sleep(END_POLL).await;
        }
    }
}
