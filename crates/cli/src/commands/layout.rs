//! How a new image is laid out: the options of `create`, `import`, `cp`, `deep cp` and `clone`, and their defaults from the
//! pool's metadata and ceph.conf.
use super::features;
use crate::command::Parsed;
use crate::error::{Failure, Result};
use crate::interchange::image::ImageHeader;
use crate::output::{size, warn_named};
use crate::session::Session;
use lsd_engine::{CloneFormat, CloneOptions, CreateOptions, Features, ImageInfo, MigrationOptions};
use lsd_store::{ObjectStore, StoreErrorKind};
use nix::libc;
use std::sync::Arc;

/// Options of images that rbd has and lsd does not: the log needs no journal, and mirroring is not there yet.
const UNSUPPORTED: [&str; 4] = ["mirror-image-mode", "journal-splay-width", "journal-object-size", "journal-pool"];

/// What the user asked for; what was not is `None`.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    order: Option<u8>,
    features: Option<u64>,
    shared: bool,
    stripe_unit: Option<u64>,
    stripe_count: Option<u64>,
    data_pool: Option<String>,
}

impl Layout {
    pub fn of(parsed: &Parsed) -> Result<Self> {
        image_format(parsed)?;
        if let Some(option) = UNSUPPORTED.iter().find(|option| parsed.get(option).is_some()) {
            return Err(Failure::errno(&format!("--{option} is not supported yet"), libc::EOPNOTSUPP));
        }
        let old_order = parsed.get_with("order", |text| text.parse().ok().filter(|order| (12..=25).contains(order)))?;
        if old_order.is_some() {
            warn_named("--order is deprecated, use --object-size");
        }
        let order = parsed.get_with("object-size", size::parse_object_size)?.or(old_order);
        let mut features = None;
        for text in parsed.get_all("image-feature") {
            let bits = features::parse_requested(text);
            let bits = bits.ok_or_else(|| crate::command::parsed::invalid_value("image-feature"))?;
            features = Some(features.unwrap_or(0) | bits);
        }
        Ok(Self {
            order,
            features,
            shared: parsed.has("image-shared"),
            stripe_unit: parsed.get_with("stripe-unit", size::parse_bytes)?,
            stripe_count: parsed.get_with("stripe-count", |text| text.parse().ok())?,
            data_pool: parsed.get("data-pool").filter(|pool| !pool.is_empty()).map(str::to_owned),
        })
    }

    /// Options for an image of `size` bytes in a store; defaults are the pool's, else ceph.conf's (`rbd_default_*`).
    pub async fn for_new(&self, session: &Session, store: &Arc<dyn ObjectStore>, size: u64) -> Result<CreateOptions> {
        let setting = session.settings_for_new(store).await?;
        let defaults = CreateOptions::from_settings(&setting);
        let base = CreateOptions { size, ..defaults.map_err(|error| Failure::invalid(error.to_string()))? };
        let default_pool = setting("rbd_default_data_pool").filter(|pool| !pool.is_empty());
        self.apply(session, store, base, default_pool).await
    }

    /// Options for an image from a file that says how it was laid out: what was not asked for is as there, else as for a new image.
    pub async fn for_import(
        &self,
        session: &Session,
        store: &Arc<dyn ObjectStore>,
        header: &ImageHeader,
    ) -> Result<CreateOptions> {
        let setting = session.settings_for_new(store).await?;
        let defaults = CreateOptions::from_settings(&setting);
        let mut base = CreateOptions { size: 0, ..defaults.map_err(|error| Failure::invalid(error.to_string()))? };
        if let Some(order) = header.order {
            // What is out of range is refused where the image is made.
            base.order = u8::try_from(order).unwrap_or(u8::MAX);
        }
        if let Some(features) = header.features {
            base.features = Features(features).of_new_image().0;
            if self.features.is_none() && features & Features::JOURNALING != 0 {
                warn_named("the image is made without journaling, which is not there yet");
                base.features &= !Features::JOURNALING;
            }
        }
        if let (Some(unit), Some(count)) = (header.stripe_unit, header.stripe_count) {
            // Unstriped, as the object size has it, which may be asked for.
            let is_plain = count <= 1 && (unit == 0 || Some(unit) == 1_u64.checked_shl(base.order.into()));
            (base.stripe_unit, base.stripe_count) = if is_plain { (0, 0) } else { (unit, count) };
        }
        let default_pool = setting("rbd_default_data_pool").filter(|pool| !pool.is_empty());
        self.apply(session, store, base, default_pool).await
    }

    /// Options for a copy: what was not asked for is as in the source.
    pub async fn for_copy(
        &self,
        session: &Session,
        store: &Arc<dyn ObjectStore>,
        source: &ImageInfo,
    ) -> Result<CreateOptions> {
        self.apply(session, store, CreateOptions::like(source), None).await
    }

    /// Whether what the clone has depends on what its parent has, beyond being the same.
    pub fn needs_parent(&self) -> bool {
        self.shared && self.features.is_none()
    }

    /// Options for a clone. What was not asked for is as in the parent, which has these features.
    pub async fn for_clone(
        &self,
        session: &Session,
        store: &Arc<dyn ObjectStore>,
        parents: u64,
    ) -> Result<CloneOptions> {
        let inherited = parents & !(Features::DATA_POOL | Features::STRIPINGV2 | Features::INTERNAL);
        let shared = self.shared.then_some(self.features.unwrap_or(inherited) & !features::SINGLE_CLIENT);
        let stripe = match (self.stripe_unit, self.stripe_count) {
            (None, None) => None,
            (unit, count) => Some((unit.unwrap_or(0), count.unwrap_or(1))),
        };
        let setting = session.settings_for_new(store).await?;
        let data_pool = self.data_pool.clone().or_else(|| setting("rbd_default_data_pool"));
        Ok(CloneOptions {
            format: clone_format(&setting)?,
            order: self.order,
            features: shared.or(self.features),
            stripe,
            data_pool: match data_pool.filter(|pool| !pool.is_empty()) {
                Some(pool) => Some(find_pool(session, store, &pool).await?),
                None => None,
            },
            id: None,
        })
    }

    /// Options for the destination of a migration. What was not asked for is as in the source, which has these features.
    pub async fn for_migration(
        &self,
        session: &Session,
        store: &Arc<dyn ObjectStore>,
        sources: u64,
    ) -> Result<MigrationOptions> {
        let CloneOptions { format, order, features, stripe, data_pool, .. } =
            self.for_clone(session, store, sources).await?;
        Ok(MigrationOptions { order, features, stripe, data_pool, flatten: false, format })
    }

    async fn apply(
        &self,
        session: &Session,
        store: &Arc<dyn ObjectStore>,
        base: CreateOptions,
        default_pool: Option<String>,
    ) -> Result<CreateOptions> {
        let mut options = base;
        options.order = self.order.unwrap_or(options.order);
        options.features = self.features.unwrap_or(options.features);
        if self.shared {
            options.features &= !features::SINGLE_CLIENT;
        }
        if self.stripe_unit.is_some() || self.stripe_count.is_some() {
            options.stripe_unit = self.stripe_unit.unwrap_or(0);
            options.stripe_count = self.stripe_count.unwrap_or(0);
        }
        if let Some(pool) = self.data_pool.clone().or(default_pool) {
            options.data_pool = Some(find_pool(session, store, &pool).await?);
        }
        Ok(options)
    }
}

/// `rbd_default_clone_format`, of which `auto` is 2: every client of lsd knows it.
pub fn clone_format(setting: &dyn Fn(&str) -> Option<String>) -> Result<CloneFormat> {
    const KEY: &str = "rbd_default_clone_format";
    match setting(KEY).as_deref() {
        Some("1") => Ok(CloneFormat::Protected),
        Some("2" | "auto") | None => Ok(CloneFormat::Free),
        Some(other) => Err(Failure::invalid(format!("there is no clone format '{other}': {KEY} is 1, 2 or auto"))),
    }
}

/// `--image-format` and `--new-format`: there is one format, which rbd's commands know as 2. Who asks for 1 gets rbd's warning, and the
/// image in that one, as from the library.
fn image_format(parsed: &Parsed) -> Result<()> {
    let format = parsed.get_with("image-format", |text| match text {
        "1" => Some(1),
        "2" => Some(2),
        _ => None,
    })?;
    if parsed.has("new-format") {
        warn_named("--new-format is deprecated, use --image-format 2");
    }
    if format == Some(1) {
        warn_named("image format 1 is deprecated");
    }
    Ok(())
}

/// A data pool by its name.
async fn find_pool(session: &Session, store: &Arc<dyn ObjectStore>, name: &str) -> Result<lsd_store::PoolId> {
    if store.pool_id().0 < 0 {
        return Err(Failure::errno("a directory has no data pools", libc::EOPNOTSUPP));
    }
    let pool = session.connection().await?.pool_id(name).await;
    pool.map_err(|error| match error.kind {
        StoreErrorKind::NotFound => {
            warn_named(&format!("data pool {name} does not exist"));
            Failure::errno("create error", libc::ENOENT)
        }
        _ => Failure::errno(&format!("error opening pool '{name}'"), error.errno),
    })
}
