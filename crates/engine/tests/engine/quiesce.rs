//! Clients that want to be quiet before snapshots: who is asked, who is waited for, and that all of them go on.
use crate::common::{BLOCK, Client, MIB, Op, cluster_with_image, content, kind, read, settings, silent};
use lsd_engine::{
    CreateOptions, Error, ErrorKind, Groups, Image, ImageRef, OpenOptions, Quiesce, QuiesceEvent, Settings, SnapRef,
};
use lsd_store::{Keyed, MemoryCluster, ObjectStore};
use nix::libc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

const PATIENT: Duration = Duration::from_secs(600);

/// A client that does what is in `on_quiesce` before it says what that gives.
struct Watching {
    events: Arc<Mutex<Vec<QuiesceEvent>>>,
    watch: u64,
}

async fn watching<F: Future<Output = Option<u32>> + Send + 'static>(
    image: &Image,
    on_quiesce: impl Fn(Image) -> F + Send + Sync + 'static,
) -> Watching {
    let events = Arc::new(Mutex::new(Vec::new()));
    let (sender, mut calls) = mpsc::unbounded_channel();
    let seen = events.clone();
    let watch = image
        .quiesce_watch(Arc::new(move |event| {
            seen.lock().unwrap().push(event);
            let _ = sender.send(event);
        }))
        .await
        .unwrap();
    let image = image.clone();
    tokio::spawn(async move {
        while let Some(event) = calls.recv().await {
            if event == QuiesceEvent::Quiesce
                && let Some(errno) = on_quiesce(image.clone()).await
            {
                image.quiesce_complete(watch, errno);
            }
        }
    });
    Watching { events, watch }
}

impl Watching {
    fn events(&self) -> Vec<QuiesceEvent> {
        self.events.lock().unwrap().clone()
    }
}

const ONCE: [QuiesceEvent; 2] = [QuiesceEvent::Quiesce, QuiesceEvent::Unquiesce];

async fn at_once(_: Image) -> Option<u32> {
    Some(0)
}

async fn never(_: Image) -> Option<u32> {
    None
}

async fn refusing(_: Image) -> Option<u32> {
    Some(libc::EIO as u32)
}

async fn take(client: &Client, name: &str, quiesce: Quiesce) -> Result<(), Error> {
    timeout(PATIENT, client.image.snapshots().create_with(name, quiesce, &silent)).await.expect("it ends")
}

async fn names(client: &Client) -> Vec<String> {
    client.image.snapshots().list().await.unwrap().into_iter().map(|snap| snap.name).collect()
}

async fn marks(client: &Client) -> usize {
    let header = format!("lsd_header.{}", client.image.info().id);
    client.memory.kv_get(&header.as_str().into(), "quiesce.").await.unwrap().len()
}

/// It has something that it writes only when it is asked to be quiet, and has to take the image for that.
#[tokio::test(start_paused = true)]
async fn every_client_is_quiet_while_a_snapshot_is_taken() {
    let cluster = cluster_with_image(MIB).await;
    let taker = Client::open(&cluster, settings()).await;
    taker.image.write(0, content(1), true).await.unwrap();
    let other = Client::open(&cluster, settings()).await;
    let own = watching(&taker.image, at_once).await;
    let writing = watching(&other.image, |image| async move {
        image.write(BLOCK, content(2), false).await.unwrap();
        image.flush().await.unwrap();
        Some(0)
    })
    .await;
    let second = watching(&other.image, at_once).await;
    let told = Mutex::new(Vec::new());
    let progress = |done, total| {
        told.lock().unwrap().push((done, total));
        Err(Error::from(lsd_store::StoreError::new(lsd_store::StoreErrorKind::Busy, "test", "it is not listened to")))
    };
    let created = taker.image.snapshots().create_with("s", Quiesce::Required, &progress);
    timeout(Duration::from_secs(4), created).await.expect("nobody waits for a deadline").unwrap();
    assert_eq!(told.into_inner().unwrap(), [(1, 10)], "as librbd tells it");
    sleep(Duration::from_secs(1)).await;
    for watch in [&own, &writing, &second] {
        assert_eq!(watch.events(), ONCE);
    }
    let options = OpenOptions { snapshot: Some(SnapRef::Name("s".into())), ..OpenOptions::default() };
    let shown = Image::open(&other.store, &ImageRef::Name("disk".into()), &options).await.unwrap();
    assert_eq!(read(&shown, 0, 2 * BLOCK).await, [content(1), content(2)].concat());
    // What is taken without asking disturbs nobody.
    take(&taker, "unasked", Quiesce::Skip).await.unwrap();
    assert_eq!(own.events(), ONCE);
    // A name that is taken, too.
    assert_eq!(kind(take(&other, "s", Quiesce::Required).await), Some(ErrorKind::Exists));
    assert_eq!(own.events(), ONCE);
    // Who has ended is not asked any more.
    other.image.quiesce_unwatch(writing.watch).await.unwrap();
    assert_eq!(kind(other.image.quiesce_unwatch(writing.watch).await), Some(ErrorKind::NotFound));
    take(&other, "next", Quiesce::Required).await.unwrap();
    assert_eq!((writing.events().len(), second.events().len(), own.events().len()), (2, 4, 4));
    other.image.close().await.unwrap();
    taker.image.quiesce_unwatch(own.watch).await.unwrap();
    assert_eq!(marks(&taker).await, 0);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_quiet_is_no_snapshot_unless_that_is_ignored() {
    let cluster = cluster_with_image(MIB).await;
    let taker = Client::open(&cluster, settings()).await;
    let other = Client::open(&cluster, settings()).await;
    let able = watching(&other.image, at_once).await;
    let unable = watching(&other.image, refusing).await;
    let failed = take(&taker, "s", Quiesce::Required).await.unwrap_err();
    assert_eq!(failed.errno(), libc::EIO);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((able.events(), unable.events()), (ONCE.to_vec(), ONCE.to_vec()));
    assert!(names(&taker).await.is_empty());
    take(&taker, "s", Quiesce::IgnoreErrors).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!((able.events().len(), unable.events().len()), (4, 4));
    assert_eq!(names(&taker).await, ["s"]);
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_waited_for_as_long_as_the_option_says() {
    let cluster = cluster_with_image(MIB).await;
    let taker = Client::open(&cluster, Settings { quiesce_attempts: 3, ..settings() }).await;
    let other = Client::open(&cluster, settings()).await;
    let (able, mute) = (watching(&other.image, at_once).await, watching(&other.image, never).await);
    let began = Instant::now();
    assert_eq!(kind(take(&taker, "s", Quiesce::Required).await), Some(ErrorKind::TimedOut));
    assert_eq!(began.elapsed().as_secs(), 15);
    assert!(names(&taker).await.is_empty());
    assert_eq!((able.events(), mute.events()), (ONCE.to_vec(), vec![QuiesceEvent::Quiesce]));
    // Not before it has answered is it asked again, and it is told at once that it may go on.
    assert_eq!(kind(take(&taker, "s", Quiesce::Required).await), Some(ErrorKind::TimedOut));
    assert_eq!((able.events().len(), mute.events().len()), (2, 1));
    other.image.quiesce_complete(mute.watch, 0);
    assert_eq!(mute.events(), ONCE);
    other.image.quiesce_complete(mute.watch, 0);
    take(&taker, "s", Quiesce::IgnoreErrors).await.unwrap();
    assert_eq!((able.events().len(), mute.events().len()), (4, 3));
    // It goes while it is waited for.
    other.image.quiesce_complete(mute.watch, 0);
    let image = other.image.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(4)).await;
        image.quiesce_unwatch(mute.watch).await.unwrap();
    });
    let began = Instant::now();
    take(&taker, "t", Quiesce::Required).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_client_goes_on_when_whoever_takes_the_snapshot_dies() {
    let cluster = cluster_with_image(MIB).await;
    let (taker, gate) = Client::open_gated(&cluster, settings()).await;
    let other = Client::open(&cluster, settings()).await;
    let quiet = watching(&other.image, at_once).await;
    gate.close(|op, _| op == Op::Create || op == Op::Update);
    let image = taker.image.clone();
    let dying = tokio::spawn(async move { image.snapshots().create("s").await });
    sleep(Duration::from_secs(30)).await;
    assert_eq!(quiet.events(), [QuiesceEvent::Quiesce], "as long as it lives");
    gate.mute(true);
    dying.abort();
    let _ = dying.await;
    sleep(Duration::from_secs(7)).await;
    assert_eq!(quiet.events(), [QuiesceEvent::Quiesce]);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(quiet.events(), ONCE);
    drop(gate.take());
    taker.crash(&cluster);
    drop(other);
}

/// It was cut off from who is quiet for it, and the snapshot was taken all the same.
#[tokio::test(start_paused = true)]
async fn a_snapshot_for_which_not_all_stayed_quiet_goes_again() {
    let cluster = cluster_with_image(MIB).await;
    let (taker, gate) = Client::open_gated(&cluster, settings()).await;
    let other = Client::open(&cluster, settings()).await;
    let quiet = watching(&other.image, at_once).await;
    for quiesce in [Quiesce::Required, Quiesce::IgnoreErrors] {
        gate.close(|op, _| op == Op::Update);
        let image = taker.image.clone();
        let taking = tokio::spawn(async move { image.snapshots().create_with("s", quiesce, &silent).await });
        gate.until_waiting(1).await;
        gate.mute(true);
        sleep(Duration::from_secs(12)).await;
        gate.mute(false);
        gate.open();
        let taken = taking.await.unwrap();
        match quiesce {
            Quiesce::Required => {
                assert_eq!(kind(taken), Some(ErrorKind::TimedOut));
                assert!(names(&taker).await.is_empty());
                assert_eq!(quiet.events(), ONCE);
            }
            _ => taken.unwrap(),
        }
    }
    assert_eq!(names(&taker).await, ["s"]);
    assert_eq!(quiet.events().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn two_snapshots_at_once_do_not_wait_for_each_other() {
    let cluster = cluster_with_image(MIB).await;
    let (one, two) = (Client::open(&cluster, settings()).await, Client::open(&cluster, settings()).await);
    let slowly = |image: Image| async move {
        sleep(Duration::from_millis(700)).await;
        at_once(image).await
    };
    let watches = [watching(&one.image, at_once).await, watching(&two.image, slowly).await];
    for round in 0..20_u32 {
        let late = Duration::from_millis(u64::from(round) * 100);
        let (first, second) = (format!("a{round}"), format!("b{round}"));
        let (first, second) = tokio::join!(take(&one, &first, Quiesce::Required), async {
            sleep(late).await;
            take(&two, &second, Quiesce::Required).await
        });
        first.and(second).unwrap();
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(names(&one).await.len(), 40);
    for watch in watches {
        let events = watch.events();
        assert!(events.chunks(2).all(|pair| pair == ONCE), "{events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nobody_wants_to_be_quiet_a_snapshot_costs_nothing_more() {
    let cluster = cluster_with_image(MIB).await;
    let watcher = Client::open(&cluster, settings()).await;
    let watch = watching(&watcher.image, at_once).await;
    let (taker, gate) = Client::open_gated(&cluster, settings()).await;
    taker.image.write(0, content(1), true).await.unwrap();
    let cost = async |name: &str, quiesce| {
        let count = Arc::new(Mutex::new(Vec::new()));
        let (counted, before) = (count.clone(), gate.notices());
        gate.close(move |op, _| {
            counted.lock().unwrap().push(op);
            false
        });
        take(&taker, name, quiesce).await.unwrap();
        gate.open();
        let operations = count.lock().unwrap().len();
        (gate.notices() - before, operations)
    };
    // The first one writes down what was written before.
    take(&taker, "first", Quiesce::Skip).await.unwrap();
    let unasked = cost("a", Quiesce::Skip).await;
    assert_eq!(unasked.0, 1, "the header has changed");
    assert!(cost("b", Quiesce::Required).await.0 > 3);
    watcher.image.quiesce_unwatch(watch.watch).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cost("c", Quiesce::Required).await, unasked);
    // A client that died is found out once.
    let _dead = watching(&watcher.image, at_once).await;
    assert_eq!(marks(&taker).await, 1);
    watcher.crash(&cluster);
    sleep(Duration::from_secs(60)).await;
    let asked = cost("d", Quiesce::Required).await;
    assert_eq!((asked.0, asked.1), (unasked.0 + 1, unasked.1 + 1));
    assert_eq!(marks(&taker).await, 0);
    assert_eq!(cost("e", Quiesce::Required).await, unasked);
}

/// The network was away: who takes a snapshot meanwhile finds nobody, and must not make the client forgotten.
#[tokio::test(start_paused = true)]
async fn a_client_whose_watch_broke_is_asked_again() {
    let cluster = cluster_with_image(MIB).await;
    let taker = Client::open(&cluster, settings()).await;
    let (other, gate) = Client::open_gated(&cluster, settings()).await;
    let quiet = watching(&other.image, at_once).await;
    cluster.expire(&other.memory);
    // Whoever takes a snapshot in between finds nobody; the key that it would take away is not there as it was by then.
    let (late, of_taker) = Client::open_gated(&cluster, settings()).await;
    of_taker.close(|op, _| op == Op::Update);
    let image = late.image.clone();
    let taking = tokio::spawn(async move { image.snapshots().create_with("early", Quiesce::Required, &silent).await });
    of_taker.until_waiting(1).await;
    gate.lose_watches();
    sleep(Duration::from_secs(20)).await;
    of_taker.open();
    taking.await.unwrap().unwrap();
    assert!(quiet.events().is_empty());
    take(&taker, "s", Quiesce::Required).await.unwrap();
    assert_eq!(quiet.events(), ONCE);
}

/// It was quiet, and nobody knows how long.
#[tokio::test(start_paused = true)]
async fn a_snapshot_goes_again_if_who_was_quiet_is_not_there_at_its_end() {
    for (seconds, wanted) in [(12, Some(ErrorKind::TimedOut)), (5, None)] {
        let cluster = cluster_with_image(MIB).await;
        let (taker, gate) = Client::open_gated(&cluster, settings()).await;
        let other = Client::open(&cluster, settings()).await;
        let quiet = watching(&other.image, at_once).await;
        gate.close(|op, _| op == Op::Update);
        let image = taker.image.clone();
        let taking = tokio::spawn(async move { image.snapshots().create("s").await });
        gate.until_waiting(1).await;
        assert_eq!(quiet.events(), [QuiesceEvent::Quiesce]);
        cluster.expire(&other.memory);
        sleep(Duration::from_secs(seconds)).await;
        gate.open();
        assert_eq!(kind(taking.await.unwrap()), wanted);
        assert_eq!(names(&taker).await.is_empty(), wanted.is_some());
    }
}

/// The owner has the header in memory, and does not hear that somebody wants to be quiet.
#[tokio::test(start_paused = true)]
async fn from_the_return_of_a_watch_on_an_owner_asks_that_was_deaf_or_cut_off() {
    for cut_off in [false, true] {
        let cluster = cluster_with_image(MIB).await;
        let settings = Settings { watch_timeout: Duration::from_secs(30), ..settings() };
        let (taker, gate) = Client::open_gated(&cluster, settings.clone()).await;
        taker.image.write(0, content(1), true).await.unwrap();
        let other = Client::open(&cluster, settings).await;
        match cut_off {
            true => cluster.expire(&taker.memory),
            false => gate.deafen(true),
        }
        let waking = gate.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(12)).await;
            waking.deafen(false);
        });
        let quiet = watching(&other.image, at_once).await;
        if cut_off {
            gate.lose_watches();
            sleep(Duration::from_secs(1)).await;
        }
        take(&taker, "s", Quiesce::Required).await.unwrap();
        assert_eq!(quiet.events(), ONCE, "cut off: {cut_off}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_clients_that_died_go_though_others_are_quiet() {
    let cluster = cluster_with_image(MIB).await;
    let taker = Client::open(&cluster, settings()).await;
    let (living, dead) = (Client::open(&cluster, settings()).await, Client::open(&cluster, settings()).await);
    let quiet = watching(&living.image, at_once).await;
    watching(&dead.image, at_once).await;
    dead.crash(&cluster);
    assert_eq!(marks(&taker).await, 2);
    take(&taker, "s", Quiesce::Required).await.unwrap();
    assert_eq!((marks(&taker).await, quiet.events()), (1, ONCE.to_vec()));
    take(&taker, "t", Quiesce::Required).await.unwrap();
    assert_eq!(quiet.events().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_not_asked() {
    let cluster = cluster_with_image(MIB).await;
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    let watch = watching(&reader.image, never).await;
    let taker = Client::open(&cluster, settings()).await;
    take(&taker, "s", Quiesce::Required).await.unwrap();
    assert!(watch.events().is_empty());
    reader.image.quiesce_unwatch(watch.watch).await.unwrap();
}

async fn group_of_two(cluster: &MemoryCluster) -> (Arc<dyn ObjectStore>, Groups, [Image; 2]) {
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let options = OpenOptions { settings: settings(), ..OpenOptions::default() };
    let groups = Groups::new(store.clone(), options.clone());
    groups.create("g").await.unwrap();
    let mut images = Vec::new();
    for name in ["a", "b"] {
        let named = ImageRef::Name(name.into());
        Image::create(&store, name, &CreateOptions { size: MIB, ..CreateOptions::default() }).await.unwrap();
        groups.add_image("g", &store, &named).await.unwrap();
        images.push(Image::open(&store, &named, &options).await.unwrap());
    }
    (store, groups, images.try_into().unwrap())
}

#[tokio::test(start_paused = true)]
async fn clients_of_all_images_of_a_group_are_quiet() {
    let cluster = MemoryCluster::new();
    let (_store, groups, [a, b]) = group_of_two(&cluster).await;
    let slowly = |image: Image| async move {
        sleep(Duration::from_secs(25)).await;
        image.write(0, content(7), false).await.unwrap();
        at_once(image).await
    };
    let (first, second) = (watching(&a, at_once).await, watching(&b, slowly).await);
    timeout(PATIENT, groups.snap_create("g", "s", Quiesce::Required)).await.unwrap().unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        (first.events(), second.events()),
        (ONCE.to_vec(), ONCE.to_vec()),
        "the first stays quiet for the second"
    );
    timeout(PATIENT, groups.snap_create("g", "skipped", Quiesce::Skip)).await.unwrap().unwrap();
    assert_eq!(first.events().len(), 2);
    let unable = watching(&b, refusing).await;
    let failed = timeout(PATIENT, groups.snap_create("g", "t", Quiesce::Required)).await.unwrap().unwrap_err();
    assert_eq!(failed.errno(), libc::EIO);
    sleep(Duration::from_secs(30)).await;
    assert_eq!((first.events().len(), second.events().len(), unable.events().len()), (4, 4, 2));
    let names: Vec<_> = groups.snapshots("g").await.unwrap().into_iter().map(|snapshot| snapshot.name).collect();
    assert_eq!(names, ["s", "skipped"]);
    timeout(PATIENT, groups.snap_create("g", "t", Quiesce::IgnoreErrors)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_a_group_that_has_failed_waits_for_nobody() {
    let cluster = MemoryCluster::new();
    let (_store, groups, [a, b]) = group_of_two(&cluster).await;
    let (able, mute) = (watching(&a, at_once).await, watching(&b, never).await);
    let refusing_soon = |image: Image| async move {
        sleep(Duration::from_secs(2)).await;
        refusing(image).await
    };
    let unable = watching(&a, refusing_soon).await;
    let began = Instant::now();
    let failed = timeout(PATIENT, groups.snap_create("g", "s", Quiesce::Required)).await.unwrap().unwrap_err();
    assert_eq!(failed.errno(), libc::EIO);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    sleep(Duration::from_secs(1)).await;
    assert_eq!((able.events(), unable.events()), (ONCE.to_vec(), ONCE.to_vec()));
    // Who has not answered yet goes on when it does.
    b.quiesce_complete(mute.watch, 0);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(mute.events(), ONCE);
}
