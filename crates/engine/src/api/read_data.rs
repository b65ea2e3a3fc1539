//! What a read returns: pieces of shared buffers and zeroes; or where it puts them, copied once.
use bytes::Bytes;

/// Where a read puts its bytes, in order of the image's addresses: exactly as many as were asked for.
pub trait ReadTarget: Send {
    fn data(&mut self, bytes: &[u8]);
    /// This many bytes of zeroes.
    fn zeroes(&mut self, len: u64);
}

/// One consecutive piece of a read.
#[derive(Clone, Debug)]
pub enum ReadPiece {
    Data(Bytes),
    /// This many bytes of zeroes.
    Zero(u64),
}

impl ReadPiece {
    pub fn len(&self) -> u64 {
        match self {
            ReadPiece::Data(bytes) => bytes.len() as u64,
            ReadPiece::Zero(len) => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The result of a read, in order of the image's addresses.
#[derive(Clone, Debug, Default)]
pub struct ReadData {
    pub pieces: Vec<ReadPiece>,
}

impl ReadData {
    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.pieces.iter().map(ReadPiece::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies everything into `target`, which has exactly [`Self::len`] bytes.
    pub fn copy_to_slice(&self, target: &mut [u8]) {
        assert_eq!(target.len() as u64, self.len(), "a read is copied whole");
        let mut rest = target;
        for piece in &self.pieces {
            let (now, later) = rest.split_at_mut(piece.len() as usize);
            match piece {
                ReadPiece::Data(bytes) => now.copy_from_slice(bytes),
                ReadPiece::Zero(_) => now.fill(0),
            }
            rest = later;
        }
    }

    /// Everything as one buffer; without a copy when it is one piece of data.
    pub fn to_bytes(&self) -> Bytes {
        if let [ReadPiece::Data(bytes)] = self.pieces.as_slice() {
            return bytes.clone();
        }
        let mut all = vec![0; self.len() as usize];
        self.copy_to_slice(&mut all);
        all.into()
    }
}
