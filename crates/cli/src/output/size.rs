//! Sizes as rbd reads and prints them.

/// Suffixes in rising order, each 1024 times the one before.
const SUFFIXES: [char; 7] = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];
const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
/// A printed size has at most this many characters, unless its whole part needs more.
const PRINTED_WIDTH: usize = 7;

/// Reads `NUMBER[SUFFIX]`, where the suffix is one of B K M G T P E, alone or with a `B` behind it. `bare_shift`:
/// log2 of the unit of a number without a suffix. `None` for anything else, and beyond 64 bits.
pub fn parse(text: &str, bare_shift: u32) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let shift = match &text[digits..] {
        "" => bare_shift,
        suffix => {
            let letter = suffix.chars().next()?;
            let rest = &suffix[letter.len_utf8()..];
            if !(rest.is_empty() || (rest == "B" && letter != 'B')) {
                return None;
            }
            10 * SUFFIXES.iter().position(|known| *known == letter)? as u32
        }
    };
    number.checked_mul(1u64.checked_shl(shift)?)
}

/// An image's size: a bare number counts MiB.
pub fn parse_image_size(text: &str) -> Option<u64> {
    parse(text, 20)
}

/// A length: a bare number counts bytes.
pub fn parse_bytes(text: &str) -> Option<u64> {
    parse(text, 0)
}

/// Object size as its order, its binary logarithm, rounded as rbd rounds it. The image's creation checks the range.
pub fn parse_object_size(text: &str) -> Option<u8> {
    let size = parse_bytes(text).filter(|size| *size > 0)?;
    Some((size as f64).log2().round() as u8)
}

/// `10 MiB`, `1.1 MiB`, `1000 B`: as Ceph prints sizes.
pub fn format(bytes: u64) -> String {
    let mut index = 0;
    while index < UNITS.len() - 1 && bytes >> (10 * index) >= 1024 {
        index += 1;
    }
    let unit = UNITS[index];
    let scale = 1u64 << (10 * index);
    if bytes.is_multiple_of(scale) {
        return format!("{} {unit}", bytes / scale);
    }
    let value = bytes as f64 / scale as f64;
    let candidates = [2, 1, 0].map(|decimals| format!("{value:.decimals$} {unit}"));
    let fitting = candidates.iter().find(|text| text.len() <= PRINTED_WIDTH);
    fitting.unwrap_or(&candidates[2]).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_rbd_reads_them() {
        let read = [("10", 10 << 20), ("10B", 10), ("10K", 10 << 10), ("10KB", 10 << 10), ("1T", 1 << 40), ("0", 0)];
        for (text, bytes) in read {
            assert_eq!(parse_image_size(text), Some(bytes), "{text}");
        }
        let refused =
            ["", "M", "1.5G", "10m", "10MiB", " 10", "10 ", "10 M", "-1", "10BB", "99999999999T", "10X", "1é"];
        for text in refused {
            assert_eq!(parse_image_size(text), None, "{text}");
        }
    }

    #[test]
    fn object_sizes_are_rounded_in_their_logarithm() {
        assert_eq!(parse_object_size("4M"), Some(22));
        assert_eq!(parse_object_size("3M"), Some(22));
        assert_eq!(parse_object_size("5K"), Some(12));
        assert_eq!(parse_object_size("32M"), Some(25));
        assert_eq!(parse_object_size("47M"), Some(26));
        for text in ["0", "x"] {
            assert_eq!(parse_object_size(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_printed_as_rbd_prints_them() {
        let printed = [
            (0, "0 B"),
            (1000, "1000 B"),
            (1024, "1 KiB"),
            (1_149_952, "1.1 MiB"),
            (11_010_048, "10 MiB"),
            (12_000_000, "11 MiB"),
            (1 << 40, "1 TiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (bytes, text) in printed {
            assert_eq!(format(bytes), text);
        }
    }
}
