//! Disk files of other formats, which QEMU's own `qemu-img` reads and writes.
//!
//! Owns: which formats there are, what has to be true of a file before it is read, and what the program is called with. Does not own:
//! its run ([`program`]), how it gets at the image ([`served`]), what becomes of an image or a file that is not complete.
use crate::command::parsed::invalid_value;
use crate::command::{OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::progress::ProgressLine;
use lsd_engine::Image;
use nix::libc;
use program::Program;
use serde::Deserialize;
use served::Served;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

mod followed;
mod program;
mod served;

pub const FORMAT: OptionSpec =
    OptionSpec::value("format", "format of the disk in the file: raw, or qcow2 by qemu-img [default: raw]");

/// How the content of a disk lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// Byte for byte: this program's own work.
    Raw,
    Qcow2,
}

impl DiskFormat {
    /// `--format`. Another format than raw is the disk's content and nothing else, and needs a file that can be read at any offset.
    pub fn of(parsed: &Parsed, path: &str) -> Result<Self> {
        let format = match parsed.get("format") {
            None | Some("raw") => return Ok(Self::Raw),
            Some("qcow2") => Self::Qcow2,
            Some(_) => return Err(invalid_value("format")),
        };
        if !matches!(parsed.get("export-format"), None | Some("1")) {
            return Err(Failure::invalid("--format qcow2 has no place for what --export-format 2 has"));
        }
        if path == "-" {
            return Err(Failure::invalid("a qcow2 file is neither read from a stream nor written to one"));
        }
        Ok(format)
    }
}

/// A qcow2 file that can be read.
#[derive(Debug)]
pub struct Qcow2 {
    options: String,
    /// Of the disk in it, bytes.
    pub size: u64,
}

/// What of `qemu-img info` counts here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    virtual_size: u64,
    backing_filename: Option<String>,
    format_specific: Option<Specific>,
}

#[derive(Debug, Deserialize)]
struct Specific {
    data: SpecificData,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SpecificData {
    data_file: Option<String>,
}

impl Qcow2 {
    /// `EINVAL`: the file is none, is damaged or cut off, or names other files. Those it would be allowed to name are any that the
    /// caller may read, and who made the file need not be the caller.
    pub async fn look_at(path: &str) -> Result<Self> {
        let errno = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EIO);
        // Opened, and not only looked at, so that what the caller may not read is said in the words of any import.
        // A pipe would wait for somebody at its other end.
        let mut opened = std::fs::OpenOptions::new();
        opened.read(true).custom_flags(libc::O_NONBLOCK);
        let file = opened.open(path).and_then(|file| file.metadata());
        let opening = |error| Failure::new(errno(error), format!("error opening {path}"));
        let kind = file.map_err(opening)?.file_type();
        let driver = match (kind.is_file(), kind.is_block_device()) {
            (true, _) => "file",
            (_, true) => "host_device",
            _ => return Err(Failure::invalid(format!("{path} is neither a file nor a block device"))),
        };
        let mut head = Vec::new();
        let read = opened.open(path).and_then(|file| file.take(HEADER_BYTES).read_to_end(&mut head));
        read.map_err(opening)?;
        // Before any other program sees it: to describe such a file is to open what it names.
        if let Some(what) = names_another(&head) {
            let reason = format!("{path} has {what}: make one file of them with qemu-img convert first");
            return Err(Failure::invalid(reason));
        }
        let options = format!("driver=qcow2,file.driver={driver},file.filename={}", escaped(path));
        let run = |command, json: &'static [&'static str]| {
            Program::start([command].iter().chain(json).copied().chain(["--image-opts", &options]))
        };
        let described = run("info", &["--output", "json"])?.output().await?;
        let info: Info = serde_json::from_slice(&described)
            .map_err(|error| Failure::new(libc::EIO, format!("qemu-img info cannot be understood: {error}")))?;
        let others = [
            ("a backing file", info.backing_filename),
            ("its data in another file", info.format_specific.and_then(|specific| specific.data.data_file)),
        ];
        for (what, other) in others {
            if let Some(other) = other {
                let reason = format!("{path} has {what}, {other}: make one file of them with qemu-img convert first");
                return Err(Failure::invalid(reason));
            }
        }
        // What is missing behind the end of a file that was cut off would read as zeroes.
        match run("check", &["-q"])?.ended().await? {
            (Some(CHECK_FOUND_NOTHING | CHECK_FOUND_LEAKS), _) => {}
            (_, words) => {
                let first = words.lines().next().unwrap_or("qemu-img check failed").to_owned();
                return Err(Failure::invalid(format!("{path} is damaged: {first}")));
            }
        }
        Ok(Self { options, size: info.virtual_size })
    }

    /// Writes the disk into an image in which nothing was ever written.
    pub async fn copy_into(&self, image: &Image, granule: usize, line: &ProgressLine) -> Result<()> {
        let served = Served::start(image, granule)?;
        let target = served.options();
        let program = Program::start(
            [
                &["convert", "-n", "--target-is-zero", "-W", "-m", REQUESTS, "--image-opts", &self.options][..],
                &["--target-image-opts", &target],
            ]
            .concat(),
        )?;
        served.run(program, line).await
    }
}

/// Of the header of a qcow2 file (docs/interop/qcow2.txt of QEMU), bytes.
const HEADER_BYTES: u64 = 104;
const MAGIC: [u8; 4] = *b"QFI\xfb";
/// Of the incompatible features: the data lies in another file.
const EXTERNAL_DATA: u64 = 1 << 2;

/// What such a file names beside itself, by its header. What is no such file names nothing.
fn names_another(head: &[u8]) -> Option<&'static str> {
    let number =
        |at: usize| head.get(at..at + 8).map_or(0, |bytes| bytes.iter().fold(0, |all, one| all << 8 | u64::from(*one)));
    let version = number(0) & u64::from(u32::MAX);
    if !head.starts_with(&MAGIC) {
        return None;
    }
    if number(8) != 0 {
        return Some("a backing file");
    }
    (version >= 3 && number(72) & EXTERNAL_DATA != 0).then_some("its data in another file")
}

/// Exit codes of `qemu-img check`. What is leaked takes space in the file and is in nobody's way.
const CHECK_FOUND_NOTHING: i32 = 0;
const CHECK_FOUND_LEAKS: i32 = 3;
/// Requests that are under way at a time: the most that `qemu-img` allows.
const REQUESTS: &str = "16";

/// Makes a file of what an open image shows; what is in `path` already is lost.
pub async fn export(image: &Image, format: DiskFormat, path: &str, line: &ProgressLine) -> Result<()> {
    debug_assert_eq!(format, DiskFormat::Qcow2, "raw files need no other program");
    let served = Served::start(image, 1)?;
    // Else a name with a colon would be taken for a protocol's.
    let path = if Path::new(path).is_absolute() { path.to_owned() } else { format!("./{path}") };
    let source = served.options();
    let program = Program::start(["convert", "-m", REQUESTS, "--image-opts", &source, "-O", "qcow2", &path])?;
    served.run(program, line).await?;
    // The program does not wait for the disk, and its file system may find out late that there is no room.
    let synced = tokio::task::spawn_blocking(move || std::fs::File::open(&path)?.sync_all()).await;
    synced.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(|error| Failure::io("sync", &error))
}

/// A value in a list of options, where a comma ends it.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::names_another;

    #[test]
    fn a_header_says_whether_there_are_other_files() {
        let mut head = vec![0; 104];
        head[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        assert_eq!(names_another(&head), None);
        assert_eq!(names_another(&head[..4]), None);
        head[79] = 4;
        assert_eq!(names_another(&head), Some("its data in another file"));
        // Version 2 has no such field.
        head[7] = 2;
        assert_eq!(names_another(&head), None);
        head[15] = 1;
        assert_eq!(names_another(&head), Some("a backing file"));
        head[0] = b'x';
        assert_eq!(names_another(&head), None);
    }
}
