//! Changes of an image that another client owns: its owner makes them, once, and keeps the image.
use crate::common::{Client, MIB, cluster_with_image, pattern, read, settings};
use lsd_core::format::notice::{self, Answer, Notice, Operation, RequestId};
use lsd_engine::{ErrorKind, Features, Image, PoolMetadata};
use lsd_store::{MemoryCluster, ObjectName, ObjectStore, Presence};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

const NO_PROGRESS: fn(u64, u64) -> lsd_engine::Result<()> = |_, _| Ok(());

async fn owner_and_other(cluster: &MemoryCluster) -> (Client, Client) {
    let owner = Client::open(cluster, settings()).await;
    owner.image.write(0, pattern(1, 4096), true).await.unwrap();
    (owner, Client::open(cluster, settings()).await)
}

fn header_of(image: &Image) -> ObjectName {
    format!("lsd_header.{}", image.info().id).as_str().into()
}

/// Asks as another lsd would, and gives the owner's answer.
async fn ask(client: &Client, notice: &Notice) -> Option<Answer> {
    let payload = notice::encode(notice).into();
    let reply = client.memory.notify(&header_of(&client.image), payload, Duration::from_secs(1)).await.unwrap();
    reply.acks.iter().find_map(|(_, answer)| notice::decode_answer(answer).ok())
}

async fn result_of(client: &Client, notice: &Notice) -> u32 {
    loop {
        match ask(client, notice).await {
            Some(Answer::Finished { errno, .. }) => return errno,
            Some(Answer::Running { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            other => panic!("{other:?}"),
        }
    }
}

fn request(number: u64, repeated: bool, operation: Operation) -> Notice {
    Notice::Request { id: RequestId { client: 1, watch: 2, number }, repeated, operation }
}

#[tokio::test(start_paused = true)]
async fn the_owner_carries_out_what_others_ask_and_stays_the_owner() {
    let cluster = cluster_with_image(MIB).await;
    let (owner, other) = owner_and_other(&cluster).await;
    other.image.resize(2 * MIB, false, &NO_PROGRESS).await.unwrap();
    assert_eq!((owner.image.size(), other.image.size()), (2 * MIB, 2 * MIB));
    owner.image.write(2 * MIB - 4096, pattern(2, 4096), true).await.unwrap();
    assert_eq!(other.image.resize(MIB, false, &NO_PROGRESS).await.unwrap_err().kind, ErrorKind::Invalid);
    other.image.metadata().set("key", "value").await.unwrap();
    assert_eq!(owner.image.metadata().get("key").await.unwrap(), "value");
    other.image.metadata().remove("key").await.unwrap();
    assert_eq!(other.image.metadata().remove("key").await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(owner.image.metadata().get("key").await.unwrap_err().kind, ErrorKind::NotFound);
    other.image.update_features(Features::FAST_DIFF, false).await.unwrap();
    assert_eq!(owner.image.info().features & Features::FAST_DIFF, 0);
    assert!(owner.image.locks().is_owner() && !other.image.locks().is_owner());
    other.image.resize(MIB, true, &NO_PROGRESS).await.unwrap();
    assert_eq!(owner.image.write(MIB, pattern(3, 4096), true).await.unwrap_err().kind, ErrorKind::Invalid);
    owner.image.close().await.unwrap();
    other.image.resize(3 * MIB, false, &NO_PROGRESS).await.unwrap();
    assert!(other.image.locks().is_owner(), "without an owner the requester becomes it");
    assert_eq!(read(&other.image, 2 * MIB - 4096, 4096).await, vec![0; 4096]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_again_is_not_carried_out_again() {
    let cluster = cluster_with_image(MIB).await;
    let (owner, other) = owner_and_other(&cluster).await;
    let grow = |number| request(number, false, Operation::Resize { from: MIB, to: 2 * MIB, allow_shrink: false });
    assert_eq!(ask(&other, &grow(1)).await, Some(Answer::Running { done: 0, total: 1 }));
    assert_eq!(result_of(&other, &grow(1)).await, 0);
    owner.image.resize(3 * MIB, false, &NO_PROGRESS).await.unwrap();
    // The answer was lost, so the requester asks again.
    assert_eq!(result_of(&other, &grow(1)).await, 0);
    assert_eq!(owner.image.size(), 3 * MIB);
    assert_eq!(result_of(&other, &grow(2)).await, nix::libc::EINVAL as u32, "another request would shrink the image");
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_carries_out_only_what_the_last_one_did_not() {
    let cluster = cluster_with_image(MIB).await;
    let (owner, other) = owner_and_other(&cluster).await;
    let set = |number, from: Option<&str>, to: &str| {
        let (from, to) = (from.map(str::to_owned), Some(to.to_owned()));
        request(number, true, Operation::SetMetadata { key: "key".into(), from, to })
    };
    assert_eq!(result_of(&other, &set(1, None, "a")).await, 0);
    owner.image.close().await.unwrap();
    let heir = Client::open(&cluster, settings()).await;
    heir.image.write(0, pattern(2, 4096), true).await.unwrap();
    assert_eq!(result_of(&other, &set(1, None, "a")).await, 0, "it is there");
    heir.image.metadata().set("key", "b").await.unwrap();
    assert_eq!(result_of(&other, &set(3, None, "a")).await, nix::libc::ECANCELED as u32);
    assert_eq!(heir.image.metadata().get("key").await.unwrap(), "b");
    assert_eq!(result_of(&other, &set(2, Some("b"), "c")).await, 0);
    assert_eq!(heir.image.metadata().get("key").await.unwrap(), "c");
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_dies_over_a_request_leaves_it_to_the_requester() {
    let cluster = cluster_with_image(MIB).await;
    let (owner, other) = owner_and_other(&cluster).await;
    owner.memory.hold();
    let resizing = tokio::spawn({
        let image = other.image.clone();
        async move { image.resize(2 * MIB, false, &NO_PROGRESS).await }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!resizing.is_finished(), "an owner that says it is at it is waited for");
    cluster.expire(&owner.memory);
    resizing.await.unwrap().unwrap();
    owner.memory.release();
    assert!(other.image.locks().is_owner());
    assert_eq!(other.image.size(), 2 * MIB);
    assert_eq!(read(&other.image, 0, 4096).await, pattern(1, 4096));
}

#[tokio::test(start_paused = true)]
async fn a_requester_that_dies_gets_its_change_all_the_same() {
    let cluster = cluster_with_image(MIB).await;
    let (owner, other) = owner_and_other(&cluster).await;
    owner.memory.hold();
    let resizing = tokio::spawn({
        let image = other.image.clone();
        async move { image.resize(2 * MIB, false, &NO_PROGRESS).await }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    resizing.abort();
    other.crash(&cluster);
    owner.memory.release();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(owner.image.size(), 2 * MIB);
    owner.image.write(MIB, pattern(2, 4096), true).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_and_hand_overs_mix() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = owner_and_other(&cluster).await;
    let writing = [first.image.clone(), second.image.clone()].map(|image| {
        tokio::spawn(async move {
            for round in 0..40 {
                image.write(round * 4096, pattern(round, 4096), true).await.unwrap();
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        })
    });
    let third = Client::open(&cluster, settings()).await;
    for round in 0..40u64 {
        third.image.metadata().set("round", &round.to_string()).await.unwrap();
        third.image.resize((2 + round) * MIB, false, &NO_PROGRESS).await.unwrap();
    }
    for writer in writing {
        writer.await.unwrap();
    }
    assert_eq!((third.image.size(), third.image.metadata().get("round").await.unwrap()), (41 * MIB, "39".to_owned()));
    first.image.flush().await.unwrap();
    second.image.flush().await.unwrap();
    let reader = Client::open(&cluster, settings()).await;
    assert_eq!(reader.image.size(), 41 * MIB);
    assert_eq!(read(&reader.image, 39 * 4096, 4096).await, pattern(39, 4096));
}

#[tokio::test(start_paused = true)]
async fn a_notice_of_a_later_version_is_answered_by_the_owner_alone() {
    let cluster = cluster_with_image(MIB).await;
    let (_owner, other) = owner_and_other(&cluster).await;
    let later = lsd_core::format::codec::seal_envelope(notice::NOTICE_MAGIC, notice::NOTICE_VERSION, 1, &[200]);
    let reply = other.memory.notify(&header_of(&other.image), later.into(), Duration::from_secs(1)).await.unwrap();
    let answers: Vec<_> = reply.acks.iter().filter(|(_, answer)| !answer.is_empty()).collect();
    assert_eq!(answers.len(), 1);
    assert_eq!(notice::decode_answer(&answers[0].1), Ok(Answer::Unsupported));
}

/// Writes without a flush, as the last thing before the client dies, and says whether the next one finds it.
async fn survives(cluster: &MemoryCluster, client: Client, seed: u64) -> bool {
    client.image.flush().await.unwrap();
    client.image.write(8192, pattern(seed, 4096), false).await.unwrap();
    client.crash(cluster);
    let next = Client::open(cluster, settings()).await;
    let found = read(&next.image, 8192, 4096).await == pattern(seed, 4096);
    next.image.close().await.unwrap();
    found
}

/// An image that was asked for as write-through is, for whoever opens it and for who has it open, whoever said so.
#[tokio::test(start_paused = true)]
async fn what_an_images_metadata_says_of_options_is_in_force() {
    let cluster = cluster_with_image(MIB).await;
    assert!(!survives(&cluster, Client::open(&cluster, settings()).await, 2).await);
    let (owner, other) = owner_and_other(&cluster).await;
    other.image.metadata().set("conf_rbd_cache", "false").await.unwrap();
    assert!(owner.image.locks().is_owner());
    other.image.close().await.unwrap();
    assert!(survives(&cluster, owner, 3).await);
    assert!(survives(&cluster, Client::open(&cluster, settings()).await, 4).await);
    let client = Client::open(&cluster, settings()).await;
    client.image.metadata().remove("conf_rbd_cache").await.unwrap();
    assert!(!survives(&cluster, client, 5).await);
}

#[tokio::test(start_paused = true)]
async fn an_override_that_is_not_understood_is_refused() {
    let cluster = cluster_with_image(MIB).await;
    let (owner, other) = owner_and_other(&cluster).await;
    for client in [&owner, &other] {
        for (key, value) in [("conf_rbd_cache", "nonsense"), ("conf_nothing", "1"), ("conf_lsd_ack", "jornal")] {
            assert_eq!(client.image.metadata().set(key, value).await.unwrap_err().kind, ErrorKind::Invalid, "{key}");
        }
    }
    assert!(owner.image.metadata().list().await.unwrap().is_empty());
}

/// A pool's word counts for all of its images that do not say otherwise themselves.
#[tokio::test(start_paused = true)]
async fn what_a_pools_metadata_says_of_options_is_in_force() {
    let cluster = cluster_with_image(MIB).await;
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let pool = PoolMetadata::new(store);
    let open = Client::open(&cluster, settings()).await;
    assert_eq!(pool.set("conf_rbd_cache", "nonsense").await.unwrap_err().kind, ErrorKind::Invalid);
    pool.set("conf_rbd_cache", "false").await.unwrap();
    open.image.invalidate_cache().await.unwrap();
    assert!(survives(&cluster, open, 2).await);
    assert!(survives(&cluster, Client::open(&cluster, settings()).await, 3).await);
    let client = Client::open(&cluster, settings()).await;
    client.image.metadata().set("conf_rbd_cache", "true").await.unwrap();
    assert!(!survives(&cluster, client, 4).await);
    assert_eq!(pool.list().await.unwrap().len(), 1);
    pool.remove("conf_rbd_cache").await.unwrap();
    assert_eq!(pool.remove("conf_rbd_cache").await.unwrap_err().kind, ErrorKind::NotFound);
}

/// Listeners hear of what clients see of the image, once for a change, and of nothing else.
#[tokio::test(start_paused = true)]
async fn news_are_of_what_clients_see() {
    let cluster = cluster_with_image(MIB).await;
    let watching = Client::open(&cluster, settings()).await;
    let heard = Arc::new(AtomicU32::new(0));
    let (counter, size) = (heard.clone(), Arc::new(AtomicU64::new(0)));
    let (image, seen) = (watching.image.clone(), size.clone());
    watching.image.add_update_listener(Arc::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        seen.store(image.size(), Ordering::SeqCst);
    }));
    let hears = |news: u32| {
        let heard = heard.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(heard.swap(0, Ordering::SeqCst), news);
        }
    };
    let other = Client::open(&cluster, settings()).await;
    other.image.write(0, pattern(1, 4096), true).await.unwrap();
    other.image.close().await.unwrap();
    watching.image.invalidate_cache().await.unwrap();
    hears(0).await;
    let other = Client::open(&cluster, settings()).await;
    other.image.resize(2 * MIB, false, &NO_PROGRESS).await.unwrap();
    hears(1).await;
    assert_eq!(size.load(Ordering::SeqCst), 2 * MIB, "when the news came");
    other.image.metadata().set("key", "value").await.unwrap();
    hears(1).await;
    // Asked of the owner, and made by this one when there is none.
    watching.image.update_features(Features::FAST_DIFF, false).await.unwrap();
    hears(1).await;
    other.image.close().await.unwrap();
    hears(0).await;
    watching.image.resize(3 * MIB, false, &NO_PROGRESS).await.unwrap();
    hears(1).await;
}
