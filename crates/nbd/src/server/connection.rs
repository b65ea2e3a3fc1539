//! One client: handshake, then transmission.
use super::Stop;
use super::exports::ExportSet;
use super::guests::Seat;
use super::transmission::serve_session;
use crate::proto::{Handshake, Progress, Session};
use bytes::BytesMut;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Runs a connection to its end. A client that breaks the protocol or goes away only ends its own connection.
pub(super) async fn run<R, W>(mut reader: R, mut writer: W, exports: Arc<ExportSet>, mut stop: Stop, seat: Seat)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut input = BytesMut::new();
    let session = tokio::select! {
        () = stop.wait() => return,
        () = seat.guest.has_to_go() => return,
        () = tokio::time::sleep(seat.guest.bounds().handshake) => return,
        session = handshake(&mut reader, &mut writer, &mut input, &exports) => session,
    };
    let Some(session) = session else { return };
    // The handshake found the name a moment ago and exports never change.
    let Some(device) = exports.device(&session.export.name) else { return };
    serve_session(reader, writer, input, session, device, stop, &seat).await;
}

async fn handshake<R, W>(reader: &mut R, writer: &mut W, input: &mut BytesMut, exports: &ExportSet) -> Option<Session>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut output = BytesMut::new();
    let mut machine = Handshake::new(&mut output);
    loop {
        let progress = machine.advance(input, exports, &mut output);
        writer.write_all_buf(&mut output).await.ok()?;
        match progress.ok()? {
            Progress::Ready(session) => return Some(session),
            Progress::Ended => {
                let _ = writer.shutdown().await;
                return None;
            }
            Progress::NeedMore => {}
        }
        if reader.read_buf(input).await.ok()? == 0 {
            return None;
        }
    }
}
