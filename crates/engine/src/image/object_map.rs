//! Looking whether the map of an image is sound: what librbd's object map is asked for. A part of the public face.
//!
//! Owns: what is refused. Does not own: what is looked at (`check/`). Where the map is damaged there is nothing to rebuild it from beside
//! the log, and that takes an image that nobody uses: [`Image::repair`].
use crate::api::error::invalid;
use crate::{Error, ErrorKind, Features, Image, ImageRef, Progress, Result, Severity, check, compiled_here};

impl Image {
    /// Looks at the map and at everything that it leads to, and changes nothing. Progress is in segments of the log. `Invalid`: the
    /// image has no object-map feature; `Corrupt`: something is damaged, which [`Image::check`] names; `Busy`: the image was written faster
    /// than it could be looked at.
    #[compiled_here]
    pub async fn check_object_map(&self, progress: Progress<'async_recursion>) -> Result<()> {
        self.session.check_open()?;
        let info = self.info();
        if info.features & Features::OBJECT_MAP == 0 {
            return Err(invalid("the image has no object-map feature"));
        }
        let (store, bases) = (&self.session.objects.meta, &self.session.bases);
        let report = check::check(store, &ImageRef::Id(info.id), bases, progress).await?;
        match report.worst() {
            // What was found may be what the owner deleted in the meantime.
            Some(Severity::Corruption) if report.moving => {
                let reason = format!("{}: the image is written faster than it can be looked at", info.name);
                Err(Error::new(ErrorKind::Busy, reason))
            }
            Some(Severity::Corruption) => {
                let damaged = report.count(Severity::Corruption);
                let reason = format!("{}: {damaged} things are damaged", info.name);
                Err(Error::new(ErrorKind::Corrupt, reason))
            }
            _ => Ok(()),
        }
    }

    /// The same, for one who may change the image: `ReadOnly`. A map is never invalid as librbd's may be, so there is nothing to build.
    #[compiled_here]
    pub async fn rebuild_object_map(&self, progress: Progress<'async_recursion>) -> Result<()> {
        if self.read_only() {
            return Err(Error::new(ErrorKind::ReadOnly, "the image is open read-only"));
        }
        self.check_object_map(progress).await
    }
}
