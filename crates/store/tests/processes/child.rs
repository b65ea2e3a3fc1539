//! Starting another process in a role, and the roles.
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use lsd_store::{
    Append, Blobs, DirStore, Keyed, KvUpdate, LockMode, LockRequest, Logs, ObjectName, Presence, StoreError,
    StoreErrorKind, WatchHandler,
};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// What marks a child's words among those of the test harness.
const MARK: &str = "child: ";

pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a watch of [`work`] outlives its client's last sign of life.
pub const SILENCE: Duration = Duration::from_secs(2);

/// Size of the pieces that [`append_until_refused`] appends: not a multiple of the page, so that pieces straddle pages.
pub const PIECE: usize = 5000;

/// Another process; killed when it is dropped.
pub struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Runs this test binary again as `role` on `directory`.
    pub fn start(role: &str, directory: &Path, argument: &str) -> Self {
        Self::start_with(Command::new(std::env::current_exe().expect("this binary")), role, directory, argument)
    }

    /// As [`Self::start`], but behind a shell that first runs `setup`.
    pub fn start_after(setup: &str, role: &str, directory: &Path, argument: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{setup}; exec \"$@\""), "sh"]).arg(std::env::current_exe().expect("this binary"));
        Self::start_with(shell, role, directory, argument)
    }

    fn start_with(mut command: Command, role: &str, directory: &Path, argument: &str) -> Self {
        command.args(["--exact", "child::play", "--ignored", "--nocapture"]).stdout(Stdio::piped());
        command.env("LSD_STORE_ROLE", role).env("LSD_STORE_DIRECTORY", directory).env("LSD_STORE_ARGUMENT", argument);
        let mut child = command.spawn().expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, lines }
    }

    /// The next thing it says; `None` when it has ended.
    pub fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.lines.read_line(&mut line).expect("its output") > 0 {
            if let Some((_, words)) = line.trim_end().split_once(MARK) {
                return Some(words.to_owned());
            }
            line.clear();
        }
        None
    }

    pub fn hear_all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.hear()).collect()
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn say(words: &str) {
    println!("{MARK}{words}");
}

/// The other process. Not a test of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as another process of the other tests"]
async fn play() {
    let Ok(role) = std::env::var("LSD_STORE_ROLE") else { return };
    let setting = |name| std::env::var(name).expect("a directory and an argument");
    let argument = setting("LSD_STORE_ARGUMENT");
    let store = DirStore::open(Path::new(&setting("LSD_STORE_DIRECTORY"))).expect("open");
    match role.as_str() {
        "open" => say("opened"),
        "hold" => hold(&store, &argument).await,
        "append" => append_until_refused(&store, &argument.as_str().into()).await,
        "count" => count(&store, &argument).await,
        "put" => put_all(&store, &argument).await,
        "fill" => fill(&store).await,
        "work" => work(&store, &argument).await,
        other => panic!("unknown role {other}"),
    }
}

pub fn exclusive(cookie: &str) -> LockRequest {
    LockRequest { name: "lock".into(), cookie: cookie.into(), mode: LockMode::Exclusive, tag: String::new() }
}

struct Echo;

impl WatchHandler for Echo {
    fn notified(&self, _: u64, payload: Bytes) -> BoxFuture<'static, Bytes> {
        async move {
            // Something of the runtime, which the handler may use.
            tokio::time::sleep(Duration::from_millis(1)).await;
            [b"echo ", &payload[..]].concat().into()
        }
        .boxed()
    }

    fn lost(&self, error: StoreError) {
        say(&format!("lost {:?}", error.kind));
    }
}

/// Locks and watches an object and stays.
async fn hold(store: &DirStore, object: &str) {
    let name = ObjectName::from(object);
    store.lock(&name, exclusive("theirs")).await.expect("lock");
    store.watch(&name, PATIENCE, Arc::new(Echo)).await.expect("watch");
    say(&store.identity().0);
    tokio::time::sleep(PATIENCE).await;
}

/// The bytes of the piece at `index`.
pub fn piece(index: u64) -> Bytes {
    let seed = index.to_le_bytes();
    (0..PIECE).map(|place| seed[place % 8] ^ (place / 8) as u8).collect::<Vec<_>>().into()
}

/// Appends pieces with epoch 1, eight in flight, and says how many are acknowledged, until one is refused.
async fn append_until_refused(store: &DirStore, name: &ObjectName) {
    let mut flights = VecDeque::new();
    for index in 0_u64.. {
        let append =
            Append { epoch: 1, at: index * PIECE as u64, data: vec![piece(index)], summary_len: 0, urgent: false };
        flights.push_back((index, store.append(name, append)));
        if flights.len() == 8 {
            let (index, oldest) = flights.pop_front().expect("eight");
            match oldest.await {
                Ok(()) => say(&format!("{}", index + 1)),
                Err(error) if error.kind == StoreErrorKind::Stale => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    for (index, flight) in flights {
        let kind = flight.await.expect_err("an append behind a refused one").kind;
        assert_eq!(kind, StoreErrorKind::Stale, "append {index}");
    }
    say("refused");
}

/// Counts the object's key up, says each success, as often as the argument says.
async fn count(store: &DirStore, times: &str) {
    let name = ObjectName::from("counter");
    for _ in 0..times.parse::<u32>().expect("a number") {
        loop {
            let present = store.kv_get(&name, "").await.expect("read")["count"].clone();
            let number: u64 = std::str::from_utf8(&present).expect("text").parse().expect("a number");
            let update = KvUpdate::default().expect("count", present).set("count", (number + 1).to_string());
            match store.kv_update(&name, update).await {
                Ok(()) => break say("counted"),
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Stale, "{error}"),
            }
        }
    }
}

/// Tries to put the same objects as all the others; says which it got.
async fn put_all(store: &DirStore, mine: &str) {
    for index in 0..40 {
        let name = ObjectName(format!("put.{index}"));
        match store.put(&name, Bytes::from(mine.to_owned())).await {
            Ok(()) => say(&format!("{index}")),
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Exists, "{error}"),
        }
    }
}

/// Watches, then changes whatever its argument says, over and over, until something fails: it says each success, and the
/// failure.
async fn work(store: &DirStore, what: &str) {
    let name = ObjectName::from(what);
    store.watch(&name, SILENCE, Arc::new(Echo)).await.expect("watch");
    say(&store.identity().1);
    for index in 1_u64.. {
        let done = match what {
            "keys" => store.kv_update(&name, KvUpdate::default().set("count", index.to_string())).await,
            _ => {
                let at = index * PIECE as u64;
                store
                    .append(&name, Append { epoch: 1, at, data: vec![piece(index)], summary_len: 0, urgent: false })
                    .await
            }
        };
        match done {
            Ok(()) => say(&format!("{index}")),
            Err(error) => return say(&format!("failed {:?}", error.kind)),
        }
    }
}

/// Appends until the file cannot grow, says the failure and what is left of it.
async fn fill(store: &DirStore) {
    let name = ObjectName::from("log");
    let mut index = 0;
    let failure = loop {
        let append =
            Append { epoch: 1, at: index * PIECE as u64, data: vec![piece(index)], summary_len: 0, urgent: false };
        match store.append(&name, append).await {
            Ok(()) => index += 1,
            Err(error) => break error,
        }
    };
    let tail = store.log_tail(&name).await.expect("tail");
    assert_eq!(tail.len, index * PIECE as u64, "nothing of the refused append is there");
    for place in 0..index {
        let found = store.read(&name, place * PIECE as u64, PIECE as u64).await.expect("read");
        assert!(found == piece(place), "piece {place} was changed");
    }
    let refused = store.put(&"whole".into(), vec![0; 4 << 20].into()).await.expect_err("no room");
    assert_eq!(refused.kind, failure.kind);
    assert_eq!(store.stat(&"whole".into()).await.expect_err("not there").kind, StoreErrorKind::NotFound);
    store.remove(&name).await.expect("removal works without room");
    store.put(&"whole".into(), piece(1)).await.expect("there is room again");
    say(&format!("{:?} after {index}", failure.kind));
}
