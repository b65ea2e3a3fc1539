//! Every command of `lsd`. One module a command; each describes itself and does its work.
use crate::command::CommandSpec;

mod bench;
mod changes;
mod check;
mod children;
mod clone;
mod config;
mod copy;
mod create;
mod deep_copy;
mod device;
mod diff;
mod disk_usage;
mod export;
mod export_diff;
mod feature;
mod features;
mod flatten;
mod gc;
mod generate;
mod group;
mod image_meta;
mod import;
mod import_diff;
mod info;
mod inspect;
mod kin;
mod layout;
mod list;
mod lock;
mod merge_diff;
mod migration;
mod namespace;
mod object_map;
mod perf;
mod pool;
mod qemu_img;
mod remove;
mod rename;
mod resize;
mod snap;
mod sparsify;
mod status;
mod transfer;
mod trash;
mod tree;
mod unsupported;
mod waiting;

const COMMANDS: &[CommandSpec] = &[
    bench::BENCH,
    bench::BENCH_WRITE,
    check::SPEC,
    children::SPEC,
    clone::SPEC,
    config::global::GET,
    config::global::LIST,
    config::global::REMOVE,
    config::global::SET,
    config::image::GET,
    config::image::LIST,
    config::image::REMOVE,
    config::image::SET,
    config::pool::GET,
    config::pool::LIST,
    config::pool::REMOVE,
    config::pool::SET,
    copy::SPEC,
    create::SPEC,
    deep_copy::SPEC,
    device::ATTACH_SPEC,
    device::DETACH_SPEC,
    device::LIST_SPEC,
    device::MAP_SPEC,
    device::UNMAP_SPEC,
    diff::SPEC,
    disk_usage::SPEC,
    export::SPEC,
    export_diff::SPEC,
    feature::DISABLE,
    feature::ENABLE,
    flatten::SPEC,
    gc::SPEC,
    generate::SPEC,
    group::CREATE,
    group::IMAGE_ADD,
    group::IMAGE_LIST,
    group::IMAGE_REMOVE,
    group::LIST,
    group::REMOVE,
    group::RENAME,
    group::SNAP_CREATE,
    group::SNAP_LIST,
    group::SNAP_REMOVE,
    group::SNAP_RENAME,
    group::SNAP_ROLLBACK,
    image_meta::GET,
    image_meta::LIST,
    image_meta::REMOVE,
    image_meta::SET,
    import::SPEC,
    import_diff::SPEC,
    info::SPEC,
    inspect::HEADER,
    inspect::MAP,
    inspect::SEGMENT,
    list::SPEC,
    lock::ADD,
    lock::LIST,
    lock::REMOVE,
    merge_diff::SPEC,
    migration::ABORT,
    migration::COMMIT,
    migration::EXECUTE,
    migration::PREPARE,
    namespace::CREATE,
    namespace::LIST,
    namespace::REMOVE,
    object_map::CHECK,
    object_map::REBUILD,
    perf::SPEC,
    pool::INIT,
    pool::STATS,
    remove::SPEC,
    rename::SPEC,
    resize::SPEC,
    snap::CLEAR_LIMIT,
    snap::CREATE,
    snap::LIST,
    snap::PROTECT,
    snap::PURGE,
    snap::REMOVE,
    snap::RENAME,
    snap::ROLLBACK,
    snap::SET_LIMIT,
    snap::UNPROTECT,
    sparsify::SPEC,
    status::SPEC,
    trash::LIST,
    trash::MOVE,
    trash::PURGE,
    trash::REMOVE,
    trash::RESTORE,
    tree::SPEC,
];

/// Every command.
pub fn all() -> impl Iterator<Item = &'static CommandSpec> {
    COMMANDS.iter()
}

/// Commands that the overview lists.
pub fn listed() -> impl Iterator<Item = &'static CommandSpec> {
    COMMANDS.iter().filter(|spec| spec.words != ["bench-write"])
}

pub use unsupported::failure as not_supported_yet;
