//! What a file in rbd's format says, step by step, read on a thread of its own.
//!
//! Owns: that it says it in an order that makes sense, and in pieces of bounded size. Does not own: the bytes of the records (module
//! `interchange`), what is done for them (`apply.rs`).
use crate::commands::transfer::CHUNK_BYTES;
use crate::error::{Failure, Result};
use crate::interchange::Input;
use crate::interchange::diff::{Record, Version};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Steps that wait between the thread that reads and the task that writes. The reader waits beyond it.
const QUEUED_STEPS_MAX: usize = 8;

/// What stands before the data of a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    pub from: Option<String>,
    pub to: Option<String>,
    pub is_protected: bool,
    /// Bytes of the image.
    pub size: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Begin(Begin),
    Data { offset: u64, data: Bytes },
    Zero { offset: u64, len: u64 },
    End,
}

/// A step, and how far the file has been read, bytes.
pub type Taken = Result<(Step, u64)>;

/// Steps until the last difference ends; an error is the last item.
pub type Steps = mpsc::Receiver<Taken>;

/// One difference, behind the bytes that say its version.
pub fn of_diff(mut input: Input, version: Version) -> Steps {
    start(move |sender| difference(&mut input, version, sender).map(drop))
}

/// `count` of them, as a whole image has them.
pub fn of_image(mut input: Input, count: u64) -> Steps {
    start(move |sender| {
        for _ in 0..count {
            if Version::read(&mut input)? != Version::Two {
                return Err(Failure::invalid("invalid or unexpected diff banner"));
            }
            if !difference(&mut input, Version::Two, sender)? {
                break;
            }
        }
        Ok(())
    })
}

fn start(read: impl FnOnce(&mpsc::Sender<Taken>) -> Result<()> + Send + 'static) -> Steps {
    let (sender, receiver) = mpsc::channel(QUEUED_STEPS_MAX);
    std::thread::spawn(move || {
        if let Err(failure) = read(&sender) {
            // The task that writes may have given up already.
            let _ = sender.blocking_send(Err(failure));
        }
    });
    receiver
}

/// False when nobody wants any more of it.
fn difference(input: &mut Input, version: Version, sender: &mpsc::Sender<Taken>) -> Result<bool> {
    let mut begin = Some(Begin::default());
    loop {
        let record = Record::read(input, version)?;
        if let Some(head) = &mut begin {
            match &record {
                Record::From(name) => head.from = Some(name.clone()),
                Record::To(name) => head.to = Some(name.clone()),
                Record::Protected(is_protected) => head.is_protected = *is_protected,
                Record::Size(size) => head.size = Some(*size),
                Record::Write { .. } | Record::Zero { .. } | Record::End => {
                    let head = begin.take().unwrap_or_default();
                    if !send(sender, Step::Begin(head), input.at()) {
                        return Ok(false);
                    }
                }
            }
            if begin.is_some() {
                continue;
            }
        }
        let wanted = match record {
            Record::Write { offset, len } => data(input, (offset, len), sender)?,
            Record::Zero { offset, len } => send(sender, Step::Zero { offset, len }, input.at()),
            Record::End => return Ok(send(sender, Step::End, input.at())),
            _ => return Err(Failure::invalid("a record about the whole diff stands behind its data")),
        };
        if !wanted {
            return Ok(false);
        }
    }
}

/// The data of a write, in chunks that end where those of the image do.
fn data(input: &mut Input, (mut offset, len): (u64, u64), sender: &mpsc::Sender<Taken>) -> Result<bool> {
    let beyond = || Failure::invalid(format!("a write of {len} bytes at {offset} is in no image"));
    let end = offset.checked_add(len).ok_or_else(beyond)?;
    while offset < end {
        let until = end.min((offset / CHUNK_BYTES + 1).saturating_mul(CHUNK_BYTES));
        let mut bytes = vec![0; (until - offset) as usize];
        input.fill(&mut bytes, "write data")?;
        if !send(sender, Step::Data { offset, data: bytes.into() }, input.at()) {
            return Ok(false);
        }
        offset = until;
    }
    Ok(true)
}

fn send(sender: &mpsc::Sender<Taken>, step: Step, at: u64) -> bool {
    sender.blocking_send(Ok((step, at))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(records: &[(Record, usize)]) -> std::result::Result<Vec<Step>, i32> {
        let mut bytes = Vec::new();
        for (record, data) in records {
            bytes.extend(record.encode(Version::One));
            bytes.extend(vec![7; *data]);
        }
        let mut steps = of_diff(Input::of(&bytes), Version::One);
        let mut found = Vec::new();
        while let Some(step) = steps.blocking_recv() {
            found.push(step.map_err(|failure| failure.code)?.0);
        }
        Ok(found)
    }

    #[test]
    fn data_comes_in_chunks_behind_what_the_diff_is_about() {
        let len = (CHUNK_BYTES + 10) as usize;
        let write = Record::Write { offset: CHUNK_BYTES - 5, len: len as u64 };
        let records = [(Record::Size(1 << 30), 0), (Record::To("b".to_owned()), 0), (write, len), (Record::End, 0)];
        let found = read(&records).unwrap();
        let begin = Begin { to: Some("b".to_owned()), size: Some(1 << 30), ..Begin::default() };
        assert_eq!(found[0], Step::Begin(begin));
        let pieces: Vec<(u64, usize)> = found[1..4]
            .iter()
            .map(|step| match step {
                Step::Data { offset, data } => (*offset, data.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        let chunk = CHUNK_BYTES as usize;
        assert_eq!(pieces, [(CHUNK_BYTES - 5, 5), (CHUNK_BYTES, chunk), (2 * CHUNK_BYTES, 5)]);
        assert_eq!(found[4..], [Step::End]);
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let zero = Record::Zero { offset: 0, len: 1 };
        assert_eq!(read(&[(zero.clone(), 0), (Record::Size(5), 0), (Record::End, 0)]), Err(nix::libc::EINVAL));
        let far = Record::Write { offset: u64::MAX - 1, len: 9 };
        assert_eq!(read(&[(far, 9), (Record::End, 0)]), Err(nix::libc::EINVAL));
        assert_eq!(read(&[(zero, 0)]), Err(nix::libc::EDOM));
        // Not as much memory as the length says.
        assert_eq!(read(&[(Record::Write { offset: 0, len: 1 << 60 }, 100)]), Err(nix::libc::EDOM));
    }
}
