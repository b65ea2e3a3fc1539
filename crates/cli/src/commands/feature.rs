//! `lsd feature`.
use crate::command::image_args::existing_image;
use crate::command::options::{IMAGE_SPEC, ONE_IMAGE};
use crate::command::{CommandSpec, Parsed, Positional};
use crate::error::{Failure, Result};
use crate::session::Session;
use lsd_engine::{Error, Features};

const FEATURES: Positional =
    Positional { name: "features", help: "image features\n[exclusive-lock, object-map, journaling]" };

pub const DISABLE: CommandSpec = CommandSpec {
    words: &["feature", "disable"],
    alias: &[],
    summary: "Disable the specified image feature.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, FEATURES],
    options: &[ONE_IMAGE],
    run: |session, parsed| Box::pin(update(session, parsed, false)),
};

pub const ENABLE: CommandSpec = CommandSpec {
    words: &["feature", "enable"],
    alias: &[],
    summary: "Enable the specified image feature.",
    epilogue: "",
    positionals: &[IMAGE_SPEC, FEATURES],
    options: &[ONE_IMAGE],
    run: |session, parsed| Box::pin(update(session, parsed, true)),
};

async fn update(session: &Session, parsed: &Parsed, enabled: bool) -> Result<()> {
    let location = existing_image(parsed)?;
    let mut features = 0;
    while let Some(name) = parsed.next_positional() {
        features |= Features::from_names(name).ok_or_else(|| Failure::usage("the argument for option is invalid"))?.0;
    }
    if features == 0 {
        return Err(Failure::invalid("at least one feature name must be specified"));
    }
    let image = location.open_image(session, false).await?;
    let failed = |error: Error| Failure::errno("failed to update image features", error.errno());
    let updated = image.update_features(features, enabled).await.map_err(failed);
    updated.and(image.close().await.map_err(failed))
}
