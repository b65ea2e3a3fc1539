//! Where an image's name is, in full, and that it is of one kind only: lsd's or RBD's.
//!
//! Owns: that no image of lsd takes the name of a stock RBD image, which the library could not tell apart any more. Does not own: names
//! among images of lsd (the engine).
use super::{Location, Session};
use crate::spec::Place;
use lsd_engine::Error;
use lsd_store::{StoreError, StoreErrorKind};

impl Session {
    /// Pool and namespace with the default pool filled in; of a directory `dir:PATH`, and no namespace.
    pub fn pool_and_namespace(&self, place: &Place) -> (String, String) {
        match place {
            Place::Pool { pool, namespace } => (pool.clone().unwrap_or_else(|| self.default_pool()), namespace.clone()),
            Place::Directory(path) => (format!("dir:{}", path.display()), String::new()),
        }
    }
}

impl Location {
    /// Does what gives the name to an image of lsd. `Exists`, and nothing is done: a stock image has it.
    pub async fn give_name<T>(
        &self,
        session: &Session,
        give: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.check_free_of_stock(session).await?;
        give.await
    }

    async fn check_free_of_stock(&self, session: &Session) -> Result<(), Error> {
        if matches!(self.place, Place::Directory(_)) {
            return Ok(());
        }
        let (pool, namespace) = session.pool_and_namespace(&self.place);
        let bases = session.stock_bases().await.map_err(|failure| {
            // It was said already.
            StoreError::from_errno(failure.code, "connect", String::new())
        })?;
        let there = bases.is_there((&pool, &namespace), &self.image).await.map_err(StoreError::from)?;
        match there {
            true => Err(StoreError::new(StoreErrorKind::Exists, "create", self.image.clone()).into()),
            false => Ok(()),
        }
    }
}
