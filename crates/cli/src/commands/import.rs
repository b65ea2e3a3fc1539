//! `lsd import`.
use super::layout::Layout;
use super::qemu_img::{DiskFormat, FORMAT, Qcow2};
use super::transfer::{closed, requests_in_flight, sparse_bytes, write_sparse};
use crate::command::image_args::{Role, spec_of};
use crate::command::options::{DEST_IMAGE_SPEC, DESTINATION, FEATURES_EPILOGUE, LAYOUT, NO_PROGRESS, SPARSE_SIZE};
use crate::command::parsed::invalid_value;
use crate::command::{CommandSpec, OptionSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::interchange::Input;
use crate::output::progress::ProgressLine;
use crate::output::warn_named;
use crate::session::{Location, Session};
use crate::signals::{unless_cut_short, unless_told_to_end};
use crate::spec::{Place, Spec, Strictness};
use futures::StreamExt;
use lsd_engine::{Image, ImageRef};
use lsd_store::{FileBase, ObjectStore};
use source::{Chunk, Source};
use std::path::Path;
use std::sync::Arc;

pub mod apply;
mod full;
mod source;
pub mod steps;

pub const PATH_OPTION: OptionSpec = OptionSpec::value("path", "import file (or '-' for stdin)");
pub const PATH: Positional = Positional { name: "path-name", help: "import file (or '-' for stdin)" };

pub const SPEC: CommandSpec = CommandSpec {
    words: &["import"],
    alias: &[],
    summary: "Import image from file.",
    epilogue: FEATURES_EPILOGUE,
    positionals: &[PATH, DEST_IMAGE_SPEC],
    options: &[
        &[PATH_OPTION],
        DESTINATION,
        LAYOUT,
        &[
            SPARSE_SIZE,
            NO_PROGRESS,
            OptionSpec::value("export-format", "format of image file"),
            FORMAT,
            OptionSpec::switch("lazy", "read the file where the image was never written, until it is flattened"),
            OptionSpec::value("pool", "pool name (deprecated)").short('p').hidden(),
            OptionSpec::value("image", "image name (deprecated)").hidden(),
        ],
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let format = ExportFormat::of(parsed)?;
    let granule = sparse_bytes(parsed)?;
    let path = path_argument(parsed)?;
    let disk = DiskFormat::of(parsed, &path)?;
    let destination = destination(parsed, &path)?;
    let layout = Layout::of(parsed)?;
    if parsed.has("lazy") {
        let made = lazily(session, &destination, &layout, (&path, format, disk)).await;
        return made.map_err(|failure| Failure { message: format!("import failed: {failure}"), ..failure });
    }
    let line = ProgressLine::new("Importing image", !parsed.has("no-progress"));
    let no_file = |failure: Failure| {
        crate::report(&failure);
        Failure::errno("import failed", failure.code)
    };
    let imported = match format {
        ExportFormat::Content => {
            let source = match disk {
                DiskFormat::Raw => Content::Chunks(Source::open(&path).map_err(no_file)?),
                DiskFormat::Qcow2 => Content::Disk(unless_cut_short(Qcow2::look_at(&path)).await.map_err(no_file)?),
            };
            Import { session, source, granule, line: &line }.run(&destination, &layout).await
        }
        ExportFormat::WithSnapshots => {
            let input = Input::open(&path).map_err(no_file)?;
            full::Import { session, granule, line: &line.repeating_end() }.run(input, &destination, &layout).await
        }
    };
    imported.map_err(|failure| Failure { message: format!("import failed: {failure}"), ..failure })
}

/// Makes an image that shows the file: nothing is copied. The file has to stay as it is until the image is flattened.
async fn lazily(
    session: &Session,
    destination: &Location,
    layout: &Layout,
    (path, format, disk): (&str, ExportFormat, DiskFormat),
) -> Result<()> {
    if format != ExportFormat::Content || disk != DiskFormat::Raw || path == "-" {
        return Err(Failure::invalid("--lazy takes a file with the bare content of a disk"));
    }
    let base = FileBase::look_at(Path::new(path)).await;
    let base = base.map_err(|error| plain_errno(&lsd_engine::Error::from(error)))?;
    let store = destination.store_for_new(session).await?;
    let options = layout.for_new(session, &store, base.size).await?;
    let create = Image::create_over(&store, &destination.image, &options, &base);
    let made = destination.give_name(session, create).await;
    made.map(drop).map_err(|error| plain_errno(&error))
}

/// The file, from `--path` or the first positional argument.
pub fn path_argument(parsed: &Parsed) -> Result<String> {
    let path = parsed.get("path").or_else(|| parsed.next_positional()).filter(|path| !path.is_empty());
    path.map(str::to_owned).ok_or_else(|| Failure::invalid("path was not specified"))
}

/// What is in a file of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// The bare content of the disk.
    Content,
    /// Its layout, metadata and snapshots, too.
    WithSnapshots,
}

impl ExportFormat {
    /// `--export-format`: 1 or 2.
    pub fn of(parsed: &Parsed) -> Result<Self> {
        match parsed.get("export-format") {
            None | Some("1") => Ok(Self::Content),
            Some("2") => Ok(Self::WithSnapshots),
            Some(_) => Err(invalid_value("export-format")),
        }
    }
}

/// Where to: `--dest` and its like, else (deprecated) `--pool` and `--image`, else the file's name.
fn destination(parsed: &Parsed, path: &str) -> Result<Location> {
    let old_image = parsed.get("image");
    let old_pool = parsed.get("pool");
    if old_image.is_some() {
        warn_named("--image is deprecated, use --dest");
    }
    if old_pool.is_some() {
        warn_named("-p [ --pool ] is deprecated, use --dest-pool");
    }
    let mut spec = spec_of(parsed, Role::Destination, Strictness::Strict)?;
    if let Some(text) = old_image.filter(|_| spec.image.is_none()) {
        let old = Spec::parse(text, Strictness::Strict)?;
        (spec.image, spec.snap) = (old.image, spec.snap.or(old.snap));
        if spec.place == Place::default() {
            spec.place = old.place;
        }
    }
    if spec.snap.is_some() {
        return Err(Failure::invalid("destination snapshot name specified for a command that doesn't use it"));
    }
    if let Place::Pool { pool: pool @ None, .. } = &mut spec.place {
        *pool = old_pool.map(str::to_owned);
    }
    let from_path = || Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let image = spec.image.or_else(from_path);
    let image = image.ok_or_else(|| Failure::invalid("destination image name was not specified"))?;
    Ok(Location { place: spec.place, image, snap: None })
}

/// What an image gets.
enum Content {
    Chunks(Source),
    Disk(Qcow2),
}

impl Content {
    /// Bytes, where it is known before everything was read.
    fn size(&self) -> Option<u64> {
        match self {
            Self::Chunks(source) => source.size(),
            Self::Disk(disk) => Some(disk.size),
        }
    }
}

struct Import<'a> {
    session: &'a Session,
    source: Content,
    granule: usize,
    line: &'a ProgressLine,
}

impl Import<'_> {
    /// Creates the image and fills it; an image that could not be filled is removed again.
    async fn run(self, destination: &Location, layout: &Layout) -> Result<()> {
        let store = destination.store_for_new(self.session).await?;
        let size = self.source.size().unwrap_or(0);
        let options = layout.for_new(self.session, &store, size).await?;
        let (session, line) = (self.session, self.line);
        let create = Image::create(&store, &destination.image, &options);
        destination.give_name(session, create).await.map_err(|error| {
            warn_named("image creation failed");
            line.fail();
            plain_errno(&error)
        })?;
        let filled = self.fill(destination).await;
        if filled.is_err() {
            line.fail();
            remove_partial(session, &store, destination).await;
        } else {
            line.finish();
        }
        filled
    }

    async fn fill(self, destination: &Location) -> Result<()> {
        let image = destination.open_image(self.session, false).await?;
        let copied = self.copy_into(&image).await;
        closed(&image, "closing the image", copied).await
    }

    /// Copies everything; it is durable when this returns.
    async fn copy_into(self, image: &Image) -> Result<()> {
        let Self { session, source, granule, line } = self;
        // From the first flush on a write need not be durable when it is acknowledged.
        flush(image).await?;
        match source {
            Content::Chunks(source) => {
                copy_chunks((session, source), image, granule, line).await?;
                flush(image).await
            }
            Content::Disk(disk) => {
                unless_told_to_end(async {
                    disk.copy_into(image, granule, line).await?;
                    flush(image).await
                })
                .await
            }
        }
    }
}

async fn flush(image: &Image) -> Result<()> {
    image.flush().await.map_err(|error| plain_errno(&error))
}

async fn copy_chunks(
    (session, source): (&Session, Source),
    image: &Image,
    granule: usize,
    line: &ProgressLine,
) -> Result<()> {
    let known_size = source.size();
    let chunks = source.chunks();
    let writes = futures::stream::unfold((chunks, image), |(mut chunks, image)| async move {
        let chunk = chunks.recv().await?;
        let grown = match &chunk {
            Ok(chunk) if known_size.is_none() => grow_for(image, chunk).await,
            _ => Ok(()),
        };
        Some((grown.and(chunk), (chunks, image)))
    });
    let mut writes = writes
        .map(|chunk| async move {
            let Chunk { offset, data } = chunk?;
            let end = offset + data.len() as u64;
            write_sparse(image, offset, data, granule).await.map_err(|error| plain_errno(&error))?;
            Ok::<u64, Failure>(end)
        })
        .buffer_unordered(requests_in_flight(session))
        .boxed();
    let mut end = 0;
    while let Some(written) = writes.next().await {
        end = end.max(written?);
        if let Some(size) = known_size {
            line.update(end, size);
        }
    }
    if known_size.is_none() && image.size() != end {
        image.resize(end, true, &|_, _| Ok(())).await.map_err(|error| plain_errno(&error))?;
    }
    Ok(())
}

/// Makes room for a chunk of a stream whose end is not known: the image doubles, and is cut at the end.
async fn grow_for(image: &Image, chunk: &Chunk) -> Result<()> {
    let end = chunk.offset + chunk.data.len() as u64;
    if end <= image.size() {
        return Ok(());
    }
    let size = end.max(image.size().saturating_mul(2));
    image.resize(size, false, &|_, _| Ok(())).await.map_err(|error| plain_errno(&error))
}

/// `(17) File exists`, for a line that says already what failed.
fn plain_errno(error: &lsd_engine::Error) -> Failure {
    let mut failure = Failure::engine("", error);
    failure.message = failure.message.trim_start_matches(": ").to_owned();
    failure
}

/// An image that could not be filled, and the snapshots that it has already.
async fn remove_partial(session: &Session, store: &Arc<dyn ObjectStore>, destination: &Location) {
    if let Err(failure) = remove_snapshots(session, destination).await {
        warn_named(&format!("cannot remove the snapshots of the incomplete image {}: {failure}", destination.image));
    }
    let partial = ImageRef::Name(destination.image.clone());
    if let Err(error) = Image::remove(store, &partial, &|_, _| Ok(())).await {
        warn_named(&format!("cannot remove the incomplete image {}: {error}", destination.image));
    }
}

async fn remove_snapshots(session: &Session, destination: &Location) -> Result<()> {
    let image = destination.open_image(session, false).await?;
    let remove = async {
        for snapshot in image.snapshots().list().await? {
            if snapshot.is_protected {
                image.snapshots().unprotect(&snapshot.name).await?;
            }
            image.snapshots().remove(&snapshot.name).await?;
        }
        Ok::<(), lsd_engine::Error>(())
    };
    let removed = remove.await.map_err(|error| plain_errno(&error));
    closed(&image, "closing the image", removed).await
}

/// Reads on a thread that may block.
pub async fn blocking<T: Send + 'static>(mut input: Input, read: fn(&mut Input) -> Result<T>) -> Result<(T, Input)> {
    let reading = tokio::task::spawn_blocking(move || read(&mut input).map(|found| (found, input)));
    reading.await.unwrap_or_else(|_| Err(Failure::new(nix::libc::EIO, "the reading thread stopped")))
}
