//! Options that several commands share, in rbd's words.
use super::{OptionSpec, Positional};

pub const POOL: OptionSpec = OptionSpec::value("pool", "pool name").short('p');
pub const NAMESPACE: OptionSpec = OptionSpec::value("namespace", "namespace name");
pub const IMAGE: OptionSpec = OptionSpec::value("image", "image name");
pub const SNAP: OptionSpec = OptionSpec::value("snap", "snapshot name");
pub const SOURCE_POOL: OptionSpec = OptionSpec::value("pool", "source pool name").short('p');
pub const SOURCE_NAMESPACE: OptionSpec = OptionSpec::value("namespace", "source namespace name");
pub const SOURCE_IMAGE: OptionSpec = OptionSpec::value("image", "source image name");
pub const SOURCE_SNAP: OptionSpec = OptionSpec::value("snap", "source snapshot name");
pub const DEST_POOL: OptionSpec = OptionSpec::value("dest-pool", "destination pool name");
pub const DEST_NAMESPACE: OptionSpec = OptionSpec::value("dest-namespace", "destination namespace name");
pub const DEST: OptionSpec = OptionSpec::value("dest", "destination image name");
pub const DEST_SNAP: OptionSpec = OptionSpec::value("dest-snap", "destination snapshot name");
pub const IMAGE_ID: OptionSpec = OptionSpec::value("image-id", "image id");
pub const SNAP_ID: OptionSpec = OptionSpec::value("snap-id", "snapshot id");
pub const NO_PROGRESS: OptionSpec = OptionSpec::switch("no-progress", "disable progress output");
pub const SIZE: OptionSpec = OptionSpec::value("size", "image size (in M/G/T) [default: M]").short('s').required();

/// A command that works on one pool.
pub const POOL_ONLY: &[OptionSpec] = &[POOL, NAMESPACE];
/// A command that works on one image.
pub const ONE_IMAGE: &[OptionSpec] = &[POOL, NAMESPACE, IMAGE];
/// A command that works on one image or snapshot.
pub const IMAGE_OR_SNAP: &[OptionSpec] = &[POOL, NAMESPACE, IMAGE, SNAP];
pub const SOURCE: &[OptionSpec] = &[SOURCE_POOL, SOURCE_NAMESPACE, SOURCE_IMAGE];
pub const SOURCE_OR_SNAP: &[OptionSpec] = &[SOURCE_POOL, SOURCE_NAMESPACE, SOURCE_IMAGE, SOURCE_SNAP];
pub const DESTINATION: &[OptionSpec] = &[DEST_POOL, DEST_NAMESPACE, DEST];
pub const DEST_OR_SNAP: &[OptionSpec] = &[DEST_POOL, DEST_NAMESPACE, DEST, DEST_SNAP];
pub const PROGRESS: &[OptionSpec] = &[NO_PROGRESS];

/// How the output looks.
pub const FORMAT: &[OptionSpec] = &[
    OptionSpec::value("format", "output format (plain, json, or xml) [default: plain]"),
    OptionSpec::switch("pretty-format", "pretty formatting (json and xml)"),
];

/// How a new image is laid out.
pub const LAYOUT: &[OptionSpec] = &[
    OptionSpec::value("image-format", "image format [default: 2]"),
    OptionSpec::switch("new-format", "use image format 2 (deprecated)").hidden(),
    OptionSpec::value("order", "object order [12 <= order <= 25]").hidden(),
    OptionSpec::value("object-size", "object size in B/K/M [4K <= object size <= 32M]"),
    OptionSpec::values(
        "image-feature",
        "image features\n[layering(+), exclusive-lock(+*), object-map(+*), deep-flatten(+-), journaling(*)]",
    ),
    OptionSpec::switch("image-shared", "shared image"),
    OptionSpec::value("stripe-unit", "stripe unit in B/K/M"),
    OptionSpec::value("stripe-count", "stripe count"),
    OptionSpec::value("data-pool", "data pool"),
    OptionSpec::value("mirror-image-mode", "mirror image mode [journal or snapshot]"),
    OptionSpec::value("journal-splay-width", "number of active journal objects"),
    OptionSpec::value("journal-object-size", "size of journal objects [4K <= size <= 64M]"),
    OptionSpec::value("journal-pool", "pool for journal objects"),
];

/// How a clone or a deep copy is laid out: what there is of it has format 2.
pub const CLONE_LAYOUT: &[OptionSpec] = LAYOUT.split_at(2).1;

/// What the marks of the features in [`LAYOUT`] mean.
pub const FEATURES_EPILOGUE: &str = "\
Image Features:
  (*) supports enabling/disabling on existing images
  (-) supports disabling-only on existing images
  (+) enabled by default for new images if features not specified
";

pub const SPARSE_SIZE: OptionSpec = OptionSpec::value("sparse-size", "sparse size in B/K/M [default: 4K]");

pub const IMAGE_SPEC: Positional = Positional {
    name: "image-spec",
    help: "image specification\n(example: [<pool-name>/[<namespace>/]]<image-name>\nor dir:<path>/<image-name>)",
};
pub const IMAGE_OR_SNAP_SPEC: Positional = Positional {
    name: "image-or-snap-spec",
    help: "image or snapshot specification\n(example: [<pool-name>/[<namespace>/]]<image-name>[@<snap-name>]\nor dir:<path>/<image-name>)",
};
pub const SNAP_SPEC: Positional = Positional {
    name: "snap-spec",
    help: "snapshot specification\n(example: [<pool-name>/[<namespace>/]]<image-name>@<snap-name>\nor dir:<path>/<image-name>@<snap-name>)",
};
pub const SOURCE_SNAP_SPEC: Positional = Positional {
    name: "source-snap-spec",
    help: "source snapshot specification\n(example: [<pool-name>/[<namespace>/]]<image-name>@<snap-name>\nor dir:<path>/<image-name>@<snap-name>)",
};
pub const DEST_SNAP_SPEC: Positional = Positional {
    name: "dest-snap-spec",
    help: "destination snapshot specification\n(example: [<pool-name>/[<namespace>/]]<image-name>@<snap-name>\nor dir:<path>/<image-name>@<snap-name>)",
};
pub const SOURCE_IMAGE_SPEC: Positional = Positional {
    name: "source-image-spec",
    help: "source image specification\n(example: [<pool-name>/[<namespace>/]]<image-name>\nor dir:<path>/<image-name>)",
};
pub const SOURCE_IMAGE_OR_SNAP_SPEC: Positional = Positional {
    name: "source-image-or-snap-spec",
    help: "source image or snapshot specification\n(example: [<pool-name>/[<namespace>/]]<image-name>[@<snap-name>]\nor dir:<path>/<image-name>)",
};
pub const DEST_IMAGE_SPEC: Positional = Positional {
    name: "dest-image-spec",
    help: "destination image specification\n(example: [<pool-name>/[<namespace>/]]<image-name>\nor dir:<path>/<image-name>)",
};
pub const POOL_SPEC: Positional =
    Positional { name: "pool-spec", help: "pool specification\n(example: <pool-name>[/<namespace>] or dir:<path>)" };
