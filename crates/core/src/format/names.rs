//! Names of an image's objects in its pools.
use super::placement;
use crate::units::{CheckpointId, Epoch, SegmentNo};

/// The directory of a pool (and namespace): image names and ids.
pub const DIRECTORY: &str = "lsd_directory";
/// The namespaces of a pool, in its default namespace.
pub const NAMESPACES: &str = "lsd_namespace";
/// Metadata of a pool, in its default namespace.
pub const POOL_METADATA: &str = "lsd_info";
const HEADER_PREFIX: &str = "lsd_header.";
const DATA_PREFIX: &str = "lsd_data.";
const MAP_PREFIX: &str = "lsd_map.";
const GROUP_PREFIX: &str = "lsd_group.";

/// Characters of a new image's id. With ten of them a segment's name has 39 bytes, as many as those of RBD's objects: what serves
/// objects takes its memory by sizes, and with 43 bytes, of the next size, reads cost it a tenth more (docs/PERFORMANCE.md).
/// 2^32 segments later, some 30 PiB, a name becomes longer.
const ID_CHARS: usize = 10;

/// The id of a new image, group or snapshot of a group: 52 of the random bits, as digits and lower-case letters.
pub fn new_id(random: u64) -> String {
    let digit = |place: usize| {
        let value = random / 36_u64.pow(place as u32) % 36;
        char::from_digit(value as u32, 36).unwrap_or('0')
    };
    (0..ID_CHARS).map(digit).collect()
}

/// The header object of an image.
pub fn header(id: &str) -> String {
    format!("{HEADER_PREFIX}{id}")
}

/// The object of a group of images.
pub fn group(id: &str) -> String {
    format!("{GROUP_PREFIX}{id}")
}

/// What the names of an image's segments start with; clients see it as `block_name_prefix`.
pub fn data_prefix(id: &str) -> String {
    format!("{DATA_PREFIX}{id}")
}

/// A log segment. The epoch is part of the name, so that a writer who lost the image cannot create an object under a
/// name that the next writer uses. Two letters at the end spread the segments; images made before there were such names, whose
/// ids are longer, have none.
pub fn segment(id: &str, epoch: Epoch, segment: SegmentNo) -> String {
    if id.len() != ID_CHARS {
        return format!("{DATA_PREFIX}{id}.{:08x}.{:010x}", epoch.0, segment.0);
    }
    let mut name = format!("{DATA_PREFIX}{id}.{:08x}.{:08x}", epoch.0, segment.0);
    let letters = placement::letters(&name, id, segment);
    name.extend(letters.map(char::from));
    name
}

/// What the names of an image's map pages start with.
pub fn map_prefix(id: &str) -> String {
    format!("{MAP_PREFIX}{id}")
}

/// One page of a checkpoint.
pub fn map_page(id: &str, checkpoint: CheckpointId, page: u32) -> String {
    format!("{MAP_PREFIX}{id}.{checkpoint}.{page:08x}")
}

/// The epoch and number in a segment's name, if it is one of this image's.
pub fn parse_segment(id: &str, name: &str) -> Option<(Epoch, SegmentNo)> {
    let rest = name.strip_prefix(DATA_PREFIX)?.strip_prefix(id)?.strip_prefix('.')?;
    let (epoch, number) = rest.split_once('.')?;
    let number = number.trim_end_matches(|letter: char| !letter.is_ascii_hexdigit());
    let found = (Epoch(u64::from_str_radix(epoch, 16).ok()?), SegmentNo(u64::from_str_radix(number, 16).ok()?));
    (segment(id, found.0, found.1) == name).then_some(found)
}

/// The checkpoint and page number in a map page's name, if it is one of this image's.
pub fn parse_map_page(id: &str, name: &str) -> Option<(CheckpointId, u32)> {
    let rest = name.strip_prefix(MAP_PREFIX)?.strip_prefix(id)?.strip_prefix('.')?;
    let (checkpoint, page) = rest.split_once('.')?;
    let number = u64::from_str_radix(checkpoint, 16).ok().filter(|_| checkpoint.len() == 16)?;
    let id = CheckpointId { epoch: (number >> 32) as u32, number: number as u32 };
    Some((id, u32::from_str_radix(page, 16).ok()?))
}
