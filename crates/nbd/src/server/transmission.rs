//! The transmission phase of one connection: reads requests, runs them concurrently, bounds what they hold.
//!
//! Invariant: every request taken off the wire holds its share of the connection's and the server's memory until its reply is
//! written, so a client that sends without receiving stops being read instead of filling memory.
use super::Stop;
use super::execute::execute;
use super::guests::{Guest, Seat, Share};
use super::writer::{Outgoing, write_replies};
use crate::device::Device;
use crate::proto::{Command, Limits, NbdError, Reply, RequestHeader, Session, wire};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Data of one connection's requests in flight, KiB. At the limit the connection is not read until replies left.
pub const MAX_IN_FLIGHT_KIB: u32 = 64 << 10;
/// What any request counts for, KiB: bounds their number to 4096.
const MIN_COST_KIB: u32 = 16;
/// What a block status reply may hold, KiB.
const STATUS_COST_KIB: u32 = 1024;
/// How much is read from the socket at once, bytes. Payloads up to it come out of that buffer.
const READ_BYTES: usize = 128 << 10;
/// Payloads shorter than this are copied out of that buffer: each would keep all of it for as long as its data is in memory, which
/// may be long after the reply.
const COPIED_BYTES: usize = READ_BYTES / 4;

// One request alone must fit, or it would wait for ever.
const _: () = assert!(wire::MAX_PAYLOAD_BYTES >> 10 <= MAX_IN_FLIGHT_KIB);

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client said that it was done.
    Disconnected,
    /// The server was told to stop.
    Stopped,
    /// The client went away without a word, broke the protocol, or was sent away.
    Lost,
}

/// Serves a device until the client disconnects or breaks the protocol, or `stop` says so; returns when every request
/// taken is answered or cannot be any more. `input` is what was already read after the handshake. A client that is sent away
/// (`guests.rs`) gets no more replies.
pub async fn serve_session<R, W>(
    reader: R,
    writer: W,
    input: BytesMut,
    session: Session,
    device: Arc<dyn Device>,
    mut stop: Stop,
    seat: &Seat,
) -> SessionEnd
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let guest = seat.guest.clone();
    guest.serves();
    let (replies, outgoing) = mpsc::unbounded_channel();
    let (broken, writer_gone) = oneshot::channel();
    let mut writing = Ending(tokio::spawn(write_replies(writer, outgoing, broken, guest.clone())));
    let mut receiver = Receiver { reader, input, session: Arc::new(session), device, guest: guest.clone(), replies };
    let end = tokio::select! {
        () = stop.wait() => SessionEnd::Stopped,
        () = guest.has_to_go() => return SessionEnd::Lost,
        _ = writer_gone => SessionEnd::Lost,
        // The end of the connection's input, however it came, is not an error of the server.
        received = receiver.run() => if received.is_ok() { SessionEnd::Disconnected } else { SessionEnd::Lost },
    };
    // Dropping the receiver leaves the senders of requests in flight; the writer ends when the last one is answered.
    drop(receiver);
    tokio::select! {
        () = guest.has_to_go() => {}
        _ = &mut writing.0 => {}
    }
    end
}

/// A task that ends with who waits for it.
struct Ending(JoinHandle<()>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Receiver<R> {
    reader: R,
    input: BytesMut,
    session: Arc<Session>,
    device: Arc<dyn Device>,
    guest: Arc<Guest>,
    replies: mpsc::UnboundedSender<Outgoing>,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// Takes requests until a disconnect; an error is the end of the stream or a broken protocol.
    async fn run(&mut self) -> io::Result<()> {
        loop {
            let header = self.header().await?;
            let limits = Limits {
                size: self.device.size(),
                read_only: self.device.read_only(),
                structured_replies: self.session.structured_replies,
                base_allocation: self.session.base_allocation,
            };
            match header.check(&limits) {
                Ok(Command::Disconnect) => return Ok(()),
                Ok(command) => {
                    let share = self.reserve(cost_kib(&command)).await?;
                    let payload = self.payload(header.payload_len() as usize).await?;
                    self.start(header, command, payload, share);
                }
                Err(refusal) => {
                    let share = self.reserve(MIN_COST_KIB).await?;
                    self.skip(header.payload_len().into()).await?;
                    let answer = Answer::new(self.replies.clone(), &header, limits.structured_replies, share);
                    answer.fail(refusal.error, refusal.reason);
                }
            }
        }
    }

    async fn header(&mut self) -> io::Result<RequestHeader> {
        loop {
            if let Some(header) = RequestHeader::decode(&mut self.input).map_err(io::Error::other)? {
                return Ok(header);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.input.capacity() - self.input.len() < READ_BYTES / 2 {
            self.input.reserve(READ_BYTES);
        }
        if self.reader.read_buf(&mut self.input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.guest.moved();
        Ok(())
    }

    fn reserve(&self, kib: u32) -> impl Future<Output = io::Result<Share>> + use<R> {
        let guest = self.guest.clone();
        async move { guest.reserve(kib).await.map_err(io::Error::other) }
    }

    async fn payload(&mut self, len: usize) -> io::Result<Bytes> {
        if len <= READ_BYTES {
            while self.input.len() < len {
                self.fill().await?;
            }
            if len < COPIED_BYTES {
                let data = Bytes::copy_from_slice(&self.input[..len]);
                self.input.advance(len);
                return Ok(data);
            }
            return Ok(self.input.split_to(len).freeze());
        }
        // A long payload gets a buffer of its own, read in place but for what came with the header.
        let mut data = BytesMut::with_capacity(len);
        data.extend_from_slice(&self.input.split_to(self.input.len().min(len)));
        while data.len() < len {
            let rest = (len - data.len()) as u64;
            if (&mut self.reader).take(rest).read_buf(&mut data).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.guest.moved();
        }
        Ok(data.freeze())
    }

    async fn skip(&mut self, mut len: u64) -> io::Result<()> {
        loop {
            let now = len.min(self.input.len() as u64);
            self.input.advance(now as usize);
            len -= now;
            if len == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    fn start(&self, header: RequestHeader, command: Command, payload: Bytes, share: Share) {
        let (device, session, guest) = (self.device.clone(), self.session.clone(), self.guest.clone());
        let structured = session.structured_replies;
        let answer = Answer::new(self.replies.clone(), &header, structured, share);
        let working = guest.work();
        tokio::spawn(async move {
            let done = execute(&*device, header.cookie, command, payload, structured).await;
            drop(working);
            match done {
                Ok(reply) => answer.send(reply),
                Err(error) => {
                    guest.failed(&session.export.name, &command, &error);
                    answer.fail(NbdError::from_errno(error.errno), &error.message);
                }
            }
        });
    }
}

fn cost_kib(command: &Command) -> u32 {
    match command {
        Command::Read { len, .. } | Command::Write { len, .. } => len.div_ceil(1024).max(MIN_COST_KIB),
        Command::BlockStatus { .. } => STATUS_COST_KIB,
        Command::Cache { .. } => super::execute::CACHE_STEP_BYTES / 1024,
        _ => MIN_COST_KIB,
    }
}

/// The duty to answer one request: dropped without an answer it sends EIO, so that no client waits for ever.
struct Answer {
    replies: mpsc::UnboundedSender<Outgoing>,
    cookie: crate::proto::Cookie,
    structured: bool,
    share: Option<Share>,
}

impl Answer {
    fn new(replies: mpsc::UnboundedSender<Outgoing>, header: &RequestHeader, structured: bool, share: Share) -> Self {
        Self { replies, cookie: header.cookie, structured, share: Some(share) }
    }

    fn send(mut self, reply: Reply) {
        self.hand_over(reply);
    }

    fn fail(mut self, error: NbdError, text: &str) {
        let reply = Reply::error(self.cookie, error, text, self.structured);
        self.hand_over(reply);
    }

    fn hand_over(&mut self, reply: Reply) {
        if let Some(share) = self.share.take() {
            // The writer takes replies until every sender is gone, so this fails only for a client that was sent away, and as the
            // runtime ends.
            let _ = self.replies.send(Outgoing { reply, _share: share });
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let reply = Reply::error(self.cookie, NbdError::Io, "the request was abandoned", self.structured);
        self.hand_over(reply);
    }
}
