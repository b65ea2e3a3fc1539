//! Notifications between the clients of one directory, over a datagram socket of each client that needs one.
//!
//! Owns: the socket, its thread, this client's watches, notifications that wait for answers. Does not own: the list of
//! who watches what (`advisory`).
use super::fault::{Fault, Outcome};
use super::message::{MESSAGE_MAX_BYTES, Message, MessageKind, PAYLOAD_MAX_BYTES};
use super::root::Root;
use crate::{NotifyReply, StoreError, StoreErrorKind, WatchHandler, Watcher};
use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Pause before a peer whose queue is full is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// How often a notifier looks whether those it waits for are still alive.
const ALIVE_CHECK: Duration = Duration::from_millis(500);

/// How long a message waits for room in its receiver's queue before it is thrown away. An answer that comes later than
/// the notifier waits is of no use anyway.
const SEND_WAIT: Duration = Duration::from_secs(30);

/// Answers a notification, in any order.
pub(super) type NotifySender = oneshot::Sender<Result<NotifyReply, StoreError>>;

/// One watch of this client.
pub(super) struct Watch {
    pub object: String,
    pub handler: Arc<dyn WatchHandler>,
    /// Where the handler's futures run; on a thread of their own if the watch was made outside of any runtime.
    pub runtime: Option<Handle>,
}

/// A notification to send.
pub(super) struct Notification {
    pub payload: Bytes,
    pub watchers: Vec<Watcher>,
    pub timeout: Duration,
    pub reply: NotifySender,
}

enum Command {
    Notify(Notification),
    Send(u64, Message),
    Stop,
}

/// This client's watches by cookie.
#[derive(Default)]
pub(super) struct Watches {
    state: Mutex<(u64, HashMap<u64, Watch>)>,
}

impl Watches {
    pub fn add(&self, watch: Watch) -> u64 {
        let mut state = self.lock();
        state.0 += 1;
        let cookie = state.0;
        state.1.insert(cookie, watch);
        cookie
    }

    pub fn remove(&self, cookie: u64) -> Option<Watch> {
        self.lock().1.remove(&cookie)
    }

    /// All watches end: their handlers hear why.
    pub fn lose_all(&self, mut why: impl FnMut(&str) -> StoreError) {
        let lost = std::mem::take(&mut self.lock().1);
        for watch in lost.into_values() {
            let error = why(&watch.object);
            drop(catch_unwind(AssertUnwindSafe(|| watch.handler.lost(error))));
        }
    }

    pub fn has(&self, cookie: u64) -> bool {
        self.lock().1.contains_key(&cookie)
    }

    pub fn object(&self, cookie: u64) -> Option<String> {
        Some(self.lock().1.get(&cookie)?.object.clone())
    }

    fn handler(&self, cookie: u64) -> Option<(Arc<dyn WatchHandler>, Option<Handle>)> {
        let state = self.lock();
        let watch = state.1.get(&cookie)?;
        Some((watch.handler.clone(), watch.runtime.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, Watch>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands commands to the hub's thread.
#[derive(Clone)]
struct Remote {
    commands: mpsc::Sender<Command>,
    wake: Arc<UnixDatagram>,
}

impl Remote {
    fn command(&self, command: Command) {
        // A hub that has stopped has nobody left to tell.
        if self.commands.send(command).is_ok() {
            // If its queue is full it will wake anyway.
            drop(self.wake.send(&[0]));
        }
    }
}

pub(super) struct Hub {
    remote: Remote,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    pub fn start(root: Arc<Root>, watches: Arc<Watches>) -> Outcome<Self> {
        let socket = UnixDatagram::bind(root.clients.socket(root.clients.number()));
        let socket = socket.map_err(|error| Fault::from(error).while_doing("socket for notifications"))?;
        let (wake, woken) = UnixDatagram::pair()?;
        for end in [&socket, &wake, &woken] {
            end.set_nonblocking(true)?;
        }
        let (commands, inbox) = mpsc::channel();
        let remote = Remote { commands, wake: Arc::new(wake) };
        let core = Core {
            socket,
            woken,
            inbox,
            remote: remote.clone(),
            root,
            watches,
            outbox: Vec::new(),
            pending: HashMap::new(),
            last_id: 0,
        };
        let thread = thread::Builder::new().name("lsd-dir-notify".into()).spawn(move || core.serve())?;
        Ok(Self { remote, thread: Some(thread) })
    }

    pub fn notify(&self, notification: Notification) {
        self.remote.command(Command::Notify(notification));
    }

    /// Tells the watchers of a removed object that their watches have ended.
    pub fn tell_removed(&self, from: u64, watchers: &[Watcher]) {
        for watcher in watchers {
            let kind = MessageKind::Removed;
            let message = Message { kind, id: 0, from, cookie: watcher.cookie, payload: Bytes::new() };
            self.remote.command(Command::Send(watcher.client, message));
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.remote.command(Command::Stop);
        // A handler may hold the store: then its thread cannot wait for itself.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            drop(thread.join());
        }
    }
}

struct Pending {
    deadline: Instant,
    waiting: Vec<Watcher>,
    acks: Vec<(Watcher, Bytes)>,
    reply: NotifySender,
}

struct Outgoing {
    to: u64,
    message: Message,
    deadline: Instant,
}

/// What the hub's thread owns.
struct Core {
    socket: UnixDatagram,
    woken: UnixDatagram,
    inbox: mpsc::Receiver<Command>,
    remote: Remote,
    root: Arc<Root>,
    watches: Arc<Watches>,
    outbox: Vec<Outgoing>,
    pending: HashMap<u64, Pending>,
    last_id: u64,
}

impl Core {
    fn serve(mut self) {
        let mut buffer = vec![0; MESSAGE_MAX_BYTES + 1];
        loop {
            self.wait();
            while self.woken.recv(&mut buffer).is_ok() {}
            while let Ok(command) = self.inbox.try_recv() {
                match command {
                    Command::Notify(notification) => self.begin(notification),
                    Command::Send(to, message) => self.post(to, message),
                    Command::Stop => return self.stop(),
                }
            }
            while let Ok(len) = self.socket.recv(&mut buffer) {
                if let Some(message) = buffer.get(..len).and_then(Message::decode) {
                    self.receive(message);
                }
            }
            self.send_waiting();
            self.expire();
        }
    }

    /// Sleeps until something arrives or is due.
    fn wait(&self) {
        let now = Instant::now();
        let retry = (!self.outbox.is_empty()).then_some(RETRY_PAUSE);
        let due = self.pending.values().map(|pending| pending.deadline.saturating_duration_since(now)).min();
        let due = due.map(|due| due.min(ALIVE_CHECK) + Duration::from_millis(1));
        let timeout = retry
            .into_iter()
            .chain(due)
            .min()
            .map_or(PollTimeout::NONE, |wait| PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO));
        let mut ends = [&self.socket, &self.woken].map(|end| PollFd::new(end.as_fd(), PollFlags::POLLIN));
        // An interrupted poll is a wake-up like any other.
        let _ = poll(&mut ends, timeout);
    }

    fn begin(&mut self, notification: Notification) {
        self.last_id += 1;
        let (id, from) = (self.last_id, self.root.clients.number());
        for watcher in &notification.watchers {
            let payload = notification.payload.clone();
            let message = Message { kind: MessageKind::Notify, id, from, cookie: watcher.cookie, payload };
            self.post(watcher.client, message);
        }
        let now = Instant::now();
        // A time-out beyond what the clock can count is as good as a year.
        let deadline = now.checked_add(notification.timeout).unwrap_or(now + Duration::from_secs(365 * 86400));
        let (waiting, reply) = (notification.watchers, notification.reply);
        self.pending.insert(id, Pending { deadline, waiting, acks: Vec::new(), reply });
    }

    fn post(&mut self, to: u64, message: Message) {
        self.outbox.push(Outgoing { to, message, deadline: Instant::now() + SEND_WAIT });
    }

    /// Sends what can be sent. Messages to one client keep their order: one that must wait holds back those behind it.
    fn send_waiting(&mut self) {
        let mut full = Vec::new();
        let now = Instant::now();
        for outgoing in std::mem::take(&mut self.outbox) {
            if full.contains(&outgoing.to) {
                self.outbox.push(outgoing);
                continue;
            }
            let sent = self.socket.send_to(&outgoing.message.encode(), self.root.clients.socket(outgoing.to));
            if sent.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) && now < outgoing.deadline {
                full.push(outgoing.to);
                self.outbox.push(outgoing);
            }
            // Any other failure: the receiver has gone, which the check for living watchers finds.
        }
    }

    /// Ends notifications that have all their answers, or no time left.
    fn expire(&mut self) {
        let now = Instant::now();
        let clients = &self.root.clients;
        for pending in self.pending.values_mut() {
            pending.waiting.retain(|watcher| clients.answers(watcher.client));
        }
        for (_, pending) in self.pending.extract_if(|_, one| one.waiting.is_empty() || one.deadline <= now) {
            // Nobody may be waiting any more.
            drop(pending.reply.send(Ok(NotifyReply { acks: pending.acks, timed_out: pending.waiting })));
        }
    }

    fn receive(&mut self, message: Message) {
        match message.kind {
            MessageKind::Notify => self.deliver(message),
            MessageKind::Ack | MessageKind::Gone => {
                let Some(pending) = self.pending.get_mut(&message.id) else { return };
                let is_it = |one: &Watcher| (one.client, one.cookie) == (message.from, message.cookie);
                let Some(place) = pending.waiting.iter().position(is_it) else { return };
                let watcher = pending.waiting.remove(place);
                if message.kind == MessageKind::Ack {
                    pending.acks.push((watcher, message.payload));
                }
            }
            MessageKind::Removed => {
                if let Some(watch) = self.watches.remove(message.cookie) {
                    let error = StoreError::new(StoreErrorKind::NotFound, "watch", watch.object);
                    drop(catch_unwind(AssertUnwindSafe(|| watch.handler.lost(error))));
                }
            }
        }
    }

    /// Calls the watch and sends its answer when it comes.
    fn deliver(&mut self, message: Message) {
        let from = self.root.clients.number();
        let answer_with = move |kind, payload| Message { kind, id: message.id, from, cookie: message.cookie, payload };
        let Some((handler, runtime)) = self.watches.handler(message.cookie) else {
            return self.post(message.from, answer_with(MessageKind::Gone, Bytes::new()));
        };
        let call = AssertUnwindSafe(|| handler.notified(message.from, message.payload.clone()));
        // A handler that panics stays silent.
        let Ok(answer) = catch_unwind(call) else { return };
        let (remote, to) = (self.remote.clone(), message.from);
        let work = async move {
            let payload = answer.await;
            if payload.len() <= PAYLOAD_MAX_BYTES {
                remote.command(Command::Send(to, answer_with(MessageKind::Ack, payload)));
            }
        };
        match runtime {
            Some(runtime) => drop(runtime.spawn(work)),
            // Without a thread the notification goes unanswered, and its notifier learns that.
            None => drop(thread::Builder::new().spawn(move || futures::executor::block_on(work))),
        }
    }

    fn stop(mut self) {
        // Answers that are ready go out; nobody waits for what does not fit.
        self.send_waiting();
        for (_, pending) in self.pending.drain() {
            drop(pending.reply.send(Ok(NotifyReply { acks: pending.acks, timed_out: pending.waiting })));
        }
    }
}
