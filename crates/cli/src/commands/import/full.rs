//! `lsd import --export-format 2`: an image with its layout, its metadata and all its snapshots.
use super::apply::{Apply, Broken};
use super::{blocking, plain_errno, remove_partial, steps};
use crate::commands::layout::Layout;
use crate::commands::transfer::{closed, requests_in_flight};
use crate::error::{Failure, Result, describe_errno};
use crate::interchange::Input;
use crate::interchange::image::{ImageHeader, read_count};
use crate::output::progress::ProgressLine;
use crate::output::warn_named;
use crate::session::{Location, Session};
use lsd_engine::Image;

/// A new image from a file.
#[derive(Debug)]
pub struct Import<'a> {
    pub session: &'a Session,
    pub granule: usize,
    pub line: &'a ProgressLine,
}

impl Import<'_> {
    /// Creates the image and fills it; an image that could not be filled is removed again, with its snapshots.
    pub async fn run(&self, input: Input, destination: &Location, layout: &Layout) -> Result<()> {
        let imported = self.import(input, destination, layout).await;
        match &imported {
            Ok(()) => self.line.finish(),
            Err(_) => self.line.fail(),
        }
        imported
    }

    async fn import(&self, input: Input, destination: &Location, layout: &Layout) -> Result<()> {
        let (header, input) = blocking(input, ImageHeader::read).await.map_err(|failure| {
            crate::report(&failure);
            warn_named("import header failed.");
            errno_of(&failure)
        })?;
        let store = destination.store_for_new(self.session).await?;
        let options = layout.for_import(self.session, &store, &header).await?;
        let create = Image::create(&store, &destination.image, &options);
        destination.give_name(self.session, create).await.map_err(|error| {
            warn_named("image creation failed");
            plain_errno(&error)
        })?;
        let filled = self.fill(header, input, destination).await;
        if filled.is_err() {
            remove_partial(self.session, &store, destination).await;
        }
        filled
    }

    async fn fill(&self, header: ImageHeader, input: Input, destination: &Location) -> Result<()> {
        let image = destination.open_image(self.session, false).await.map_err(|failure| {
            crate::report(&failure);
            warn_named("failed to open image");
            errno_of(&failure)
        })?;
        let filled = self.fill_open(&image, header, input).await;
        closed(&image, "closing the image", filled).await
    }

    async fn fill_open(&self, image: &Image, header: ImageHeader, input: Input) -> Result<()> {
        for (key, value) in &header.metadata {
            image.metadata().set(key, value).await.map_err(|error| {
                warn_named("failed to import image-meta");
                plain_errno(&error)
            })?;
        }
        let (count, input) = blocking(input, read_count).await.map_err(|failure| {
            crate::report(&failure);
            warn_named("failed to import image");
            errno_of(&failure)
        })?;
        let mut steps = steps::of_image(input, count);
        for index in 0..count {
            let apply = Apply {
                image,
                granule: self.granule,
                in_flight: requests_in_flight(self.session),
                is_blank: index == 0,
            };
            apply.run(&mut steps, &|_, _| {}).await.map_err(|broken| self.failure(broken))?;
            self.line.update(index + 1, count);
        }
        Ok(())
    }

    fn failure(&self, broken: Broken) -> Failure {
        broken.report();
        self.line.fail();
        warn_named(&format!("import-diff failed: {}", describe_errno(broken.errno)));
        warn_named("failed to import image");
        Failure::new(broken.errno, broken.reason)
    }
}

/// For a line that says already what failed.
fn errno_of(failure: &Failure) -> Failure {
    Failure::new(failure.code, describe_errno(failure.code))
}
