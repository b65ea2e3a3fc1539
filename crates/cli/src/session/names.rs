//! Names of images, which are of one kind only: lsd's or RBD's.
//!
//! Owns: that no image of lsd takes the name of a stock RBD image, which the library could not tell apart any more. Does not own: names
//! among images of lsd (the engine).
use super::{Location, Session};
use crate::spec::Place;
use lsd_engine::Error;
use lsd_store::{StoreError, StoreErrorKind};

impl Location {
    /// `Exists`: a stock image has the name. Its kin are asked for by the engine.
    pub async fn check_free_of_stock(&self, session: &Session) -> Result<(), Error> {
        let Place::Pool { pool, namespace } = &self.place else { return Ok(()) };
        let pool = pool.clone().unwrap_or_else(|| session.default_pool());
        let bases = session.stock_bases().await.map_err(|failure| {
            // It was said already.
            StoreError::from_errno(failure.code, "connect", String::new())
        })?;
        let there = bases.is_there((&pool, namespace), &self.image).await.map_err(StoreError::from)?;
        match there {
            true => Err(StoreError::new(StoreErrorKind::Exists, "create", self.image.clone()).into()),
            false => Ok(()),
        }
    }
}
