//! A connection over an in-memory stream: what a misbehaving client or device may not do to it.
use super::failure_log::FailureLog;
use super::*;
use crate::device::{BoxFuture, Device, DeviceError, Extent};
use crate::proto::{Piece, wire};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Semaphore;

const SIZE: u64 = 64 << 20;

/// Reads as zeroes, keeps nothing, and counts; reads at `PANIC_AT` panic, at `SHORT_AT` come too short.
#[derive(Default)]
struct Odd {
    reads: AtomicU64,
    flushes: AtomicU64,
    write_gate: Option<Arc<Semaphore>>,
}

const PANIC_AT: u64 = 4096;
const SHORT_AT: u64 = 8192;

impl Device for Odd {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read(&self, offset: u64, len: u32) -> BoxFuture<'_, Result<Vec<Piece>, DeviceError>> {
        Box::pin(async move {
            self.reads.fetch_add(1, Ordering::Relaxed);
            assert_ne!(offset, PANIC_AT, "a device that panics");
            let len = if offset == SHORT_AT { len - 1 } else { len };
            Ok(vec![Piece::Data(Bytes::from(vec![7; len as usize]))])
        })
    }

    fn write(&self, _offset: u64, _data: Bytes, _fua: bool) -> BoxFuture<'_, Result<(), DeviceError>> {
        Box::pin(async move {
            if let Some(gate) = &self.write_gate {
                gate.acquire().await.unwrap().forget();
            }
            Ok(())
        })
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), DeviceError>> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(()) })
    }

    fn trim(&self, _offset: u64, _len: u32, _fua: bool) -> BoxFuture<'_, Result<(), DeviceError>> {
        Box::pin(async { Ok(()) })
    }

    fn write_zeroes(&self, _: u64, _: u32, _: bool, _: bool) -> BoxFuture<'_, Result<(), DeviceError>> {
        Box::pin(async { Ok(()) })
    }

    fn extents(&self, _offset: u64, len: u32) -> BoxFuture<'_, Result<Vec<Extent>, DeviceError>> {
        Box::pin(async move { Ok(vec![Extent { len: len.into(), data: true }]) })
    }
}

struct Client {
    stream: DuplexStream,
    stopper: Stopper,
    serving: tokio::task::JoinHandle<()>,
}

/// A connection just after its greeting.
async fn connect(device: Arc<Odd>) -> Client {
    connect_to(&Guests::new(Bounds::default()), device).await
}

async fn connect_to(guests: &Arc<Guests>, device: Arc<Odd>) -> Client {
    let seat = guests.seat("a test".into()).await.unwrap();
    let exports = Arc::new(ExportSet::new(vec![Export { name: "a".into(), description: None, device }]).unwrap());
    let (mut stream, ours) = tokio::io::duplex(64 << 10);
    let (reader, writer) = tokio::io::split(ours);
    let stopper = Stopper::default();
    let serving = tokio::spawn(connection::run(reader, writer, exports, stopper.watch(), seat));
    stream.read_exact(&mut [0; 18]).await.unwrap();
    Client { stream, stopper, serving }
}

/// The client's side up to the transmission phase.
fn hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32(3);
    bytes.put_u64(wire::OPTION_MAGIC);
    bytes.put_u32(wire::option::EXPORT_NAME);
    bytes.put_u32(1);
    bytes.put_slice(b"a");
    bytes
}

async fn open(device: Arc<Odd>) -> Client {
    open_to(&Guests::new(Bounds::default()), device).await
}

async fn open_to(guests: &Arc<Guests>, device: Arc<Odd>) -> Client {
    let mut client = connect_to(guests, device).await;
    client.stream.write_all(&hello()).await.unwrap();
    client.stream.read_exact(&mut [0; 10]).await.unwrap();
    client
}

fn request(kind: u16, cookie: u64, offset: u64, len: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u32(wire::REQUEST_MAGIC);
    bytes.put_u16(0);
    bytes.put_u16(kind);
    bytes.put_u64(cookie);
    bytes.put_u64(offset);
    bytes.put_u32(len);
    bytes
}

/// (error, cookie) of the next simple reply.
async fn reply(stream: &mut DuplexStream) -> (u32, u64) {
    let mut bytes = [0; 16];
    stream.read_exact(&mut bytes).await.unwrap();
    let mut bytes = &bytes[..];
    assert_eq!(bytes.get_u32(), wire::SIMPLE_REPLY_MAGIC);
    (bytes.get_u32(), bytes.get_u64())
}

#[tokio::test]
async fn a_failing_device_answers_every_request() {
    let mut client = open(Arc::default()).await;
    for (cookie, offset) in [(1, PANIC_AT), (2, SHORT_AT)] {
        client.stream.write_all(&request(wire::command::READ, cookie, offset, 512)).await.unwrap();
        assert_eq!(reply(&mut client.stream).await, (5, cookie));
    }
    client.stream.write_all(&request(wire::command::READ, 3, 0, 512)).await.unwrap();
    assert_eq!(reply(&mut client.stream).await, (0, 3));
}

#[tokio::test]
async fn a_client_that_takes_no_replies_is_not_read_for_ever() {
    let device = Arc::new(Odd::default());
    let mut client = open(device.clone()).await;
    let mut requests = BytesMut::new();
    (0..1000).for_each(|cookie| requests.put_slice(&request(wire::command::READ, cookie, 0, 1 << 20)));
    let sent = tokio::time::timeout(Duration::from_secs(1), client.stream.write_all(&requests)).await;
    assert!(sent.is_ok(), "a thousand headers fit into the buffers");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let reads = device.reads.load(Ordering::Relaxed);
    assert!((32..=65).contains(&reads), "64 MiB in flight and one being written, not {reads}");
    // Taking the replies sets it going again.
    let mut rest = vec![0; 1 << 20];
    for _ in 0..1000 {
        assert_eq!(reply(&mut client.stream).await.0, 0);
        client.stream.read_exact(&mut rest).await.unwrap();
    }
    drop(client.stream);
    client.serving.await.unwrap();
}

#[tokio::test]
async fn shutdown_answers_what_was_taken() {
    let gate = Arc::new(Semaphore::new(0));
    let mut client = open(Arc::new(Odd { write_gate: Some(gate.clone()), ..Odd::default() })).await;
    let mut bytes = request(wire::command::WRITE, 9, 0, 100_000);
    bytes.resize(bytes.len() + 100_000, 1);
    client.stream.write_all(&bytes).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.stopper.stop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!client.serving.is_finished());
    gate.add_permits(1);
    assert_eq!(reply(&mut client.stream).await, (0, 9));
    assert_eq!(client.stream.read(&mut [0; 1]).await.unwrap(), 0, "then the connection ends");
    client.serving.await.unwrap();
}

/// The server has hung up.
async fn is_over(client: &mut Client) -> bool {
    let read = tokio::time::timeout(Duration::from_millis(1), client.stream.read(&mut [0; 1])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test(start_paused = true)]
async fn a_handshake_has_to_end() {
    let mut client = connect(Arc::default()).await;
    client.stream.write_all(&hello()[..10]).await.unwrap();
    client.serving.await.unwrap();
    assert_eq!(client.stream.read(&mut [0; 1]).await.unwrap(), 0);
    // One that has ended may be silent for ever.
    let mut client = open(Arc::default()).await;
    tokio::time::sleep(Duration::from_secs(7 * 24 * 3600)).await;
    assert!(!is_over(&mut client).await);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_goes_when_its_place_is_needed_and_no_sooner() {
    let gate = Arc::new(Semaphore::new(0));
    let stuck = Arc::new(Odd { write_gate: Some(gate.clone()), ..Odd::default() });
    let guests = Guests::new(Bounds { connections: 3, ..Bounds::default() });
    let mut waits = open_to(&guests, stuck).await;
    waits.stream.write_all(&[request(wire::command::WRITE, 1, 0, 1), vec![0]].concat()).await.unwrap();
    let mut silent = open_to(&guests, Arc::default()).await;
    let start = tokio::time::Instant::now();
    let mut greeted = connect_to(&guests, Arc::default()).await;
    // It did not choose an export.
    let mut next = open_to(&guests, Arc::default()).await;
    assert!(is_over(&mut greeted).await && !is_over(&mut silent).await);
    assert_eq!(guests.held().len(), 3);
    let hour = Duration::from_secs(3600);
    let active = async {
        loop {
            next.stream.write_all(&request(wire::command::FLUSH, 1, 0, 0)).await.unwrap();
            assert_eq!(reply(&mut next.stream).await, (0, 1));
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    };
    let mut last = tokio::select! {
        () = active => unreachable!(),
        client = open_to(&guests, Arc::default()) => client,
    };
    assert!((Bounds::default().silent..hour).contains(&start.elapsed()), "after {:?}", start.elapsed());
    assert!(is_over(&mut silent).await && !is_over(&mut next).await && !is_over(&mut last).await);
    // Whoever waits for the device is not silent.
    gate.add_permits(1);
    assert_eq!(reply(&mut waits.stream).await, (0, 1));
}

#[tokio::test(start_paused = true)]
async fn clients_that_take_no_replies_do_not_keep_the_server_s_memory() {
    let bounds = Bounds { in_flight_kib: 96 << 10, ..Bounds::default() };
    let guests = Guests::new(bounds);
    let mut requests = BytesMut::new();
    (0..64).for_each(|cookie| requests.put_slice(&request(wire::command::READ, cookie, 0, 1 << 20)));
    let mut greedy = Vec::new();
    for _ in 0..2 {
        let mut client = open_to(&guests, Arc::default()).await;
        client.stream.write_all(&requests).await.unwrap();
        greedy.push(client);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let held: u32 = guests.held().iter().map(|held| held.in_flight_kib).sum();
    assert!((96 << 10..=97 << 10).contains(&held), "{held} KiB are held");
    let device = Arc::new(Odd::default());
    let mut other = open_to(&guests, device.clone()).await;
    other.stream.write_all(&request(wire::command::READ, 7, 0, 1 << 20)).await.unwrap();
    tokio::time::sleep(bounds.stalled / 2).await;
    assert_eq!(device.reads.load(Ordering::Relaxed), 0, "the server has no memory for it yet");
    assert_eq!(reply(&mut other.stream).await, (0, 7));
    other.stream.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
    let mut gone = 0;
    for client in greedy {
        // What had been sent is still on its way to it.
        gone += usize::from(client.serving.is_finished());
    }
    assert_eq!(gone, 1, "one of them had to go");
}

#[tokio::test(start_paused = true)]
async fn failures_of_the_device_are_told_but_not_all_of_very_many() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let told = lines.clone();
    let log = FailureLog::new(move |line: &str| told.lock().unwrap().push(line.to_owned()));
    let guests = Guests::with_log(Bounds::default(), log);
    let mut client = open_to(&guests, Arc::default()).await;
    let mut fail = async |count: u64| {
        for cookie in 0..count {
            client.stream.write_all(&request(wire::command::READ, cookie, SHORT_AT, 512)).await.unwrap();
            assert_eq!(reply(&mut client.stream).await, (5, cookie));
        }
    };
    fail(1).await;
    let line = "nbd: \"a\": read of 512 bytes at 8192 for a test failed: read 511 bytes of 512 (errno 5)";
    assert_eq!(*lines.lock().unwrap(), [line]);
    fail(1000).await;
    assert_eq!(lines.lock().unwrap().len(), failure_log::LINES as usize);
    tokio::time::sleep(failure_log::WINDOW * 2).await;
    let left_out = 1001 - failure_log::LINES;
    let last = format!("nbd: {left_out} more requests failed in the last 10 s");
    assert_eq!(lines.lock().unwrap().last(), Some(&last));
    fail(1).await;
    assert_eq!(lines.lock().unwrap().last().unwrap(), line);
}

#[test]
fn exports_that_cannot_be_served_are_refused() {
    let export = |name: &str| Export { name: name.into(), description: None, device: Arc::new(Odd::default()) };
    let refused = |exports| ExportSet::new(exports).err();
    assert_eq!(refused(vec![]), Some(ExportError::Empty));
    assert_eq!(refused(vec![export("a"), export("a")]), Some(ExportError::Repeated("a".into())));
    assert_eq!(refused(vec![export(&"x".repeat(4097))]), Some(ExportError::TooLong(4097)));
    assert_eq!(refused(vec![export("a\0")]), Some(ExportError::Nul("a\0".into())));
    assert_eq!(refused(vec![export("a"), export("b")]), None);
}

/// Requests with small ranges between noise, so that payloads and headers get out of step.
fn transmission_bytes() -> impl Strategy<Value = Vec<u8>> {
    let header = (0u16..9, any::<u64>(), 0u64..20_000, 0u32..9000)
        .prop_map(|(kind, cookie, offset, len)| request(kind, cookie, offset, len));
    let noise = proptest::collection::vec(any::<u8>(), 0..9000);
    proptest::collection::vec(prop_oneof![3 => header, 1 => noise], 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a client sends after the greeting, the connection ends when the client goes, and nothing panics
    /// but the device that is made to.
    #[test]
    fn any_client_comes_to_an_end(
        start in prop_oneof![4 => Just(hello()), 1 => proptest::collection::vec(any::<u8>(), 0..100)],
        rest in transmission_bytes(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = connect(Arc::default()).await;
            let (mut reader, mut writer) = tokio::io::split(client.stream);
            let received = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
            // The server may hang up in the middle.
            let _ = writer.write_all(&[start, rest].concat()).await;
            let _ = writer.shutdown().await;
            let ended = tokio::time::timeout(Duration::from_secs(20), client.serving).await;
            ended.expect("the connection ends").expect("it does not panic");
            received.await.unwrap().unwrap();
        });
    }
}
