//! Which of two differences counts where: the second, and where it says nothing the first.
use super::side::{Kind, Part, Side};
use crate::error::{Failure, Result};
use crate::interchange::diff::{Record, Version};
use crate::interchange::{Input, Output};
use crate::output::progress::ProgressLine;
use nix::libc;

#[derive(Debug)]
pub struct Merge {
    first: Side,
    second: Side,
    output: Output,
    /// Up to where the second has said something, bytes of the image: what the first says there does not count.
    covered: u64,
}

impl Merge {
    /// Reads both heads and writes that of the whole. `EINVAL`: the second does not begin where the first ends.
    pub fn begin(first: Input, second: Input, mut output: Output) -> Result<Self> {
        let first = Side::open("first", first)?;
        let second = Side::open("second", second)?;
        if first.to != second.from {
            let words = "The first TO snapshot must be equal with the second FROM snapshot, aborting";
            return Err(Failure::bare(libc::EINVAL, words));
        }
        let mut records = Vec::new();
        records.extend(Some(&first.from).filter(|name| !name.is_empty()).cloned().map(Record::From));
        records.extend(Some(&second.to).filter(|name| !name.is_empty()).cloned().map(Record::To));
        records.push(Record::Size(second.size));
        let mut head = Version::One.banner().to_vec();
        records.iter().for_each(|record| head.extend(record.encode(Version::One)));
        output.write(&head).map_err(|error| unwritten(&error))?;
        Ok(Self { first, second, output, covered: 0 })
    }

    pub fn run(mut self, line: &ProgressLine) -> Result<()> {
        let total = self.first.size.max(self.second.size).saturating_mul(2);
        while self.step()? {
            line.update(self.first.offset().saturating_add(self.second.offset()), total);
        }
        let end = self.output.write(&Record::End.encode(Version::One)).and_then(|()| self.output.end());
        end.map_err(|error| unwritten(&error))
    }

    /// False when both have ended.
    fn step(&mut self) -> Result<bool> {
        let (first_size, second_size) = (self.first.size, self.second.size);
        // An image that the second finds larger has zeroes behind what the first knew, and one that it finds smaller has nothing.
        self.first.refill(|end| behind(Kind::Zero, end, second_size))?;
        self.second.refill(|end| behind(Kind::Cut, end, first_size))?;
        match (self.first.part, self.second.part) {
            (None, None) => return Ok(!(self.first.ended && self.second.ended)),
            (Some(first), _) if first.offset < self.covered => {
                self.first.skip(first.len.min(self.covered - first.offset))?;
            }
            (Some(first), None) => self.first.copy(first.len, &mut self.output)?,
            (Some(first), Some(second)) if first.offset < second.offset => {
                self.first.copy(first.len.min(second.offset - first.offset), &mut self.output)?;
            }
            (_, Some(second)) => {
                self.covered = second.offset + second.len;
                self.second.copy(second.len, &mut self.output)?;
            }
        }
        Ok(true)
    }
}

/// What lies between the end of one and that of the other.
fn behind(kind: Kind, offset: u64, end: u64) -> Option<Part> {
    end.checked_sub(offset).filter(|len| *len > 0).map(|len| Part { kind, offset, len })
}

fn unwritten(error: &std::io::Error) -> Failure {
    Failure::new(error.raw_os_error().unwrap_or(libc::EIO), "failed to write merged diff")
}
