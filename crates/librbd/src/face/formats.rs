//! What a new image becomes: lsd's, or RBD's.
//!
//! Owns: who says so. An image option counts most, then the pool's metadata, then the caller's cluster handle; then it is lsd's.
//! Does not own: what is made of another image (clone, copy): that is of the other one's kind, unless its options say otherwise.
use crate::face::names::free_in_other;
use crate::face::passing::is_there_to_reach;
use crate::ffi::errno::{Errno, Outcome};
use crate::handles::options::{ImageOptions, name};
use crate::handles::pool::Pool;
use crate::runtime::process::core;
use lsd_engine::DEFAULT_FORMAT_OPTION;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Lsd,
    Rbd,
}

impl Format {
    /// EINVAL for any other word.
    fn parse(word: &str) -> Outcome<Self> {
        match word {
            "lsd" => Ok(Self::Lsd),
            "rbd" => Ok(Self::Rbd),
            _ => Err(Errno::EINVAL),
        }
    }

    /// As options say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lsd => "lsd",
            Self::Rbd => "rbd",
        }
    }

    pub fn of_kind(is_stock: bool) -> Self {
        if is_stock { Self::Rbd } else { Self::Lsd }
    }
}

/// What the options of a call say.
pub fn asked_for(options: Option<&ImageOptions>) -> Outcome<Option<Format>> {
    options.and_then(|options| options.text(name::LSD_FORMAT)).map(|word| Format::parse(&word)).transpose()
}

/// What a pool or the caller says. EINVAL, told on stderr: neither of the two.
pub async fn default_format(pool: &Pool) -> Outcome<Format> {
    Ok(said_of_new(pool).await?.unwrap_or(Format::Lsd))
}

/// The same; `None` where neither says anything.
pub async fn said_of_new(pool: &Pool) -> Outcome<Option<Format>> {
    pool.look_at_overrides().await?;
    let Some(word) = pool.default_of(DEFAULT_FORMAT_OPTION).filter(|word| !word.is_empty()) else {
        return Ok(None);
    };
    let said = Format::parse(&word).inspect_err(|_| {
        crate::ffi::log::once(format!("option {DEFAULT_FORMAT_OPTION} is lsd or rbd, and not {word:?}"));
    });
    said.map(Some)
}

/// What becomes of an image with that name that is made from nothing. EEXIST: one of the other kind has the name. EOPNOTSUPP: it
/// would be a stock image, and there is no stock library.
pub fn of_new(pool: &Pool, image_name: &str, options: Option<&ImageOptions>) -> Outcome<Format> {
    let format = match asked_for(options)? {
        Some(format) => format,
        None => core()?.block_on(default_format(pool))?,
    };
    may_make(pool, image_name, format)?;
    Ok(format)
}

/// EEXIST, EOPNOTSUPP: as [`of_new`].
pub fn may_make(pool: &Pool, image_name: &str, format: Format) -> Outcome<()> {
    if format == Format::Rbd && !is_there_to_reach(pool, &format!("image {image_name}")) {
        return Err(Errno::EOPNOTSUPP);
    }
    core()?.block_on(free_in_other(pool, image_name, format == Format::Rbd))
}
