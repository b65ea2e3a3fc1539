//! Who is connected and what each of them holds, for a whole server.
//!
//! Owns: the bounds of a server, the number of connections, memory of requests in flight, and who has to go when a bound is reached.
//! Does not own: what a connection does (`connection`, `transmission`).
//!
//! A client that is silent is left alone while there is room: a disk that nobody uses for a day is no error. Only when somebody
//! else would have to wait for its place or its memory does it lose its connection.
use super::failure_log::{FailureLog, tell_line};
use crate::device::DeviceError;
use crate::proto::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What a server allows. Its defaults are those of `lsd-nbd serve`.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at one time; further ones wait until one ends or has to go.
    pub connections: usize,
    /// Data of the requests of all connections, KiB; beyond it connections are not read.
    pub in_flight_kib: u32,
    /// How long a client may take to choose an export.
    pub handshake: Duration,
    /// A client that has not finished the handshake for this long has to go where another one waits for its place.
    pub undecided: Duration,
    /// A client that has nothing in work and from or to which no byte moved for this long has to go where another one
    /// waits for its place.
    pub silent: Duration,
    /// The same, where others wait for the memory that it holds: it sends no more of its request, or takes no replies.
    pub stalled: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 256,
            in_flight_kib: 512 << 10,
            handshake: Duration::from_secs(30),
            undecided: Duration::from_secs(2),
            silent: Duration::from_secs(300),
            stalled: Duration::from_secs(60),
        }
    }
}

/// How often those who wait look whether somebody has to go by now.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What one connection holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who it is, as far as the server knows.
    pub peer: String,
    /// False in the handshake.
    pub serving: bool,
    /// Requests that the device works on.
    pub working: usize,
    /// Data of its requests and replies, KiB.
    pub in_flight_kib: u32,
    /// Since a byte came from it or went to it.
    pub silent: Duration,
}

/// All connections of a server.
pub struct Guests {
    pub(super) failures: Arc<FailureLog>,
    bounds: Bounds,
    start: Instant,
    seats: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    present: Mutex<Vec<Arc<Guest>>>,
}

impl Guests {
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Self::with_log(bounds, FailureLog::default())
    }

    pub(super) fn with_log(bounds: Bounds, failures: FailureLog) -> Arc<Self> {
        Arc::new(Self {
            failures: Arc::new(failures),
            bounds,
            start: Instant::now(),
            seats: Arc::new(Semaphore::new(bounds.connections)),
            memory: Arc::new(Semaphore::new(bounds.in_flight_kib as usize)),
            present: Mutex::default(),
        })
    }

    /// What every connection holds at this moment.
    pub fn held(&self) -> Vec<Held> {
        let now = self.now_ms();
        self.present().iter().map(|guest| guest.held(now)).collect()
    }

    /// A place for a new connection; waits until there is one.
    pub async fn seat(self: &Arc<Self>, peer: String) -> Result<Seat, AcquireError> {
        let free = self.seats.clone().acquire_owned();
        let permit = wait_for(free, || self.make_place()).await?;
        let guest = Arc::new(Guest {
            guests: self.clone(),
            peer,
            budget: Arc::new(Semaphore::new(super::MAX_IN_FLIGHT_KIB as usize)),
            moved_ms: AtomicU64::new(self.now_ms()),
            working: AtomicUsize::new(0),
            serving: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            told: Notify::new(),
        });
        self.present().push(guest.clone());
        Ok(Seat { guest, _permit: permit })
    }

    fn present(&self) -> MutexGuard<'_, Vec<Arc<Guest>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Somebody waits for a place. While there is one who has not even chosen an export, nobody goes who has: otherwise whoever
    /// opens many connections would end those of disks that are not used at the moment.
    fn make_place(&self) {
        let Bounds { undecided, silent, connections, .. } = self.bounds;
        let why = format!("all {connections} connections are taken");
        let all_serve = self.present().iter().all(|guest| guest.serving.load(Ordering::Relaxed));
        let limit = |held: &Held| match held.serving {
            true if all_serve => silent,
            true => Duration::MAX,
            false => undecided,
        };
        self.send_one_away(&why, limit, |held| held.silent);
    }

    /// Somebody waits for memory.
    fn make_memory(&self) {
        let why = format!("all {} MiB for requests are taken", self.bounds.in_flight_kib >> 10);
        let stalled = self.bounds.stalled;
        self.send_one_away(
            &why,
            |held| if held.in_flight_kib > 0 { stalled } else { Duration::MAX },
            |held| held.in_flight_kib,
        );
    }

    /// Of those who have nothing in work and were silent for longer than `limit` says, the first by `rank` goes.
    fn send_one_away<R: Ord>(&self, why: &str, limit: impl Fn(&Held) -> Duration, rank: impl Fn(&Held) -> R) {
        let now = self.now_ms();
        let present = self.present();
        let idle = present.iter().filter(|guest| !guest.leaving.load(Ordering::Relaxed));
        let idle = idle.map(|guest| (guest, guest.held(now)));
        let silent = idle.filter(|(_, held)| held.working == 0 && held.silent >= limit(held));
        if let Some((guest, held)) = silent.max_by_key(|(_, held)| rank(held)) {
            let silent = held.silent.as_secs();
            tell_line(&format!("nbd: {} is disconnected: silent for {silent} s, and {why}", held.peer));
            guest.leaving.store(true, Ordering::Relaxed);
            guest.told.notify_one();
        }
    }
}

/// Waits for a permit; calls `make_room` when it is not there, and again every now and then.
async fn wait_for(
    permit: impl Future<Output = Result<OwnedSemaphorePermit, AcquireError>>,
    make_room: impl Fn(),
) -> Result<OwnedSemaphorePermit, AcquireError> {
    tokio::pin!(permit);
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            permit = &mut permit => return permit,
            () = tokio::time::sleep(pause) => make_room(),
        }
        pause = LOOK_AGAIN;
    }
}

/// One connection as the server knows it.
pub(super) struct Guest {
    guests: Arc<Guests>,
    peer: String,
    /// What its requests may hold.
    budget: Arc<Semaphore>,
    /// When a byte moved, in the time of the server.
    moved_ms: AtomicU64,
    /// Requests that wait for the device or for other connections' memory: not for the client.
    working: AtomicUsize,
    serving: AtomicBool,
    leaving: AtomicBool,
    told: Notify,
}

/// A connection's place; given back when dropped.
pub struct Seat {
    pub(super) guest: Arc<Guest>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guest.guests.present().retain(|guest| !Arc::ptr_eq(guest, &self.guest));
    }
}

/// What one request holds until its reply is sent.
pub(super) struct Share {
    _connection: OwnedSemaphorePermit,
    _server: OwnedSemaphorePermit,
}

/// A request that does not wait for the client, while this lives.
pub(super) struct Working(Arc<Guest>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
        self.0.moved();
    }
}

impl Guest {
    pub fn bounds(&self) -> &Bounds {
        &self.guests.bounds
    }

    /// The device could not carry out a request of this client.
    pub fn failed(&self, export: &str, command: &Command, error: &DeviceError) {
        self.guests.failures.tell(export, &self.peer, command, error);
    }

    /// A byte came from the client or went to it.
    pub fn moved(&self) {
        self.moved_ms.store(self.guests.now_ms(), Ordering::Relaxed);
    }

    /// The handshake is over.
    pub fn serves(&self) {
        self.serving.store(true, Ordering::Relaxed);
        self.moved();
    }

    pub fn work(self: &Arc<Self>) -> Working {
        self.working.fetch_add(1, Ordering::Relaxed);
        Working(self.clone())
    }

    /// Returns when this client has to go.
    pub async fn has_to_go(&self) {
        self.told.notified().await;
    }

    /// Waits for this connection's memory, then for the server's.
    pub async fn reserve(self: &Arc<Self>, kib: u32) -> Result<Share, AcquireError> {
        let connection = self.budget.clone().acquire_many_owned(kib).await?;
        let kib = kib.min(self.bounds().in_flight_kib);
        // From here on it is others who are waited for.
        let _working = self.work();
        let free = self.guests.memory.clone().acquire_many_owned(kib);
        let server = wait_for(free, || self.guests.make_memory()).await?;
        Ok(Share { _connection: connection, _server: server })
    }

    fn held(&self, now_ms: u64) -> Held {
        let free = self.budget.available_permits();
        Held {
            peer: self.peer.clone(),
            serving: self.serving.load(Ordering::Relaxed),
            working: self.working.load(Ordering::Relaxed),
            in_flight_kib: super::MAX_IN_FLIGHT_KIB.saturating_sub(u32::try_from(free).unwrap_or(u32::MAX)),
            silent: Duration::from_millis(now_ms.saturating_sub(self.moved_ms.load(Ordering::Relaxed))),
        }
    }
}
