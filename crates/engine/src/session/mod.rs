//! What an open image consists of.
//!
//! Owns: its parts, opening and closing it. Does not own: becoming the owner (`own.rs`), reading and writing (`write/`), maintenance
//! (`changes.rs`), background work (`background.rs`).
pub(crate) mod background;
pub(crate) mod changes;
mod collect;
mod flatten;
pub(crate) mod follow;
pub(crate) mod give_back;
pub(crate) mod handover;
mod migrate;
mod own;
pub(crate) mod quiesce;
pub(crate) mod requests;
mod retry_moved;
pub(crate) mod snapshots;
mod sparsify;

use crate::api::clock::Clock;
use crate::api::live::LiveSettings;
use crate::checkpoint::Checkpointer;
use crate::checkpoint::purpose::Purpose;
use crate::collect::Collector;
use crate::compiled_here;
use crate::objects::Objects;
use crate::objects::base;
use crate::objects::described::Described;
use crate::objects::header::Header;
use crate::ownership::mailbox::Claim;
use crate::ownership::watch::{self, HeaderEvents};
use crate::read::prefetch::task::Prefetch;
use crate::recovery::Tails;
use crate::recovery::open::{self, Found};
use crate::session::follow::{Followed, Follower};
use crate::session::handover::{Ownership, Refusals};
use crate::shared::Shared;
use crate::shared::queue::{FairQueue, Underway};
use crate::{
    AckMode, Bases, ConfigOption, Error, ErrorKind, Executor, OpenOptions, PoolMetadata, Result, Settings, UpdateEvent,
};
use lsd_core::format::header::{ImageRecord, SnapRecord};
use lsd_store::WatchId;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockReadGuard};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) objects: Objects,
    pub(crate) image: ImageRecord,
    settings: Arc<LiveSettings>,
    executor: Executor,
    pub(crate) read_only: bool,
    pub(crate) hold_moment: bool,
    /// Who opens bases, and lets go of them.
    pub(crate) bases: Bases,
    /// This handle shows a snapshot.
    pub(crate) shown: Option<SnapRecord>,
    pub(crate) follower: Follower,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) events: Arc<HeaderEvents>,
    pub(crate) prefetch: Prefetch,
    pub(crate) queue: FairQueue,
    pub(crate) underway: Underway,
    pub(crate) refusals: Refusals,
    described: Mutex<Described>,
    /// The fast answer to "may I write"; the truth is the writer in the state.
    pub(crate) owned: AtomicBool,
    closed: AtomicBool,
    /// An update of the header ended so that nobody knows whether it took effect (`changes.rs`).
    pub(crate) in_doubt: AtomicBool,
    /// Why the last checkpoint of a close was not written.
    unwritten: Mutex<Option<Error>>,
    /// What became of closing it.
    end: tokio::sync::OnceCell<Result<()>>,
    /// The lock is taken and given back by the caller's hand only.
    pub(crate) by_hand: AtomicBool,
    /// When this handle gave the image to somebody who asked, until it has let them take it.
    pub(crate) yielded: Mutex<Option<Instant>>,
    /// The lock of an ownership that has ended, which could not be given back.
    pub(crate) unreleased: Mutex<Option<WatchId>>,
    /// Held while ownership, size or header values change: one maintenance operation at a time.
    pub(crate) maintenance: tokio::sync::Mutex<Role>,
    pub(crate) collector: Arc<Collector>,
    /// `None` for a reader.
    watch: Mutex<Option<WatchId>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What this handle is to the image.
#[derive(Debug)]
pub(crate) enum Role {
    /// It reads; these segments were seen when it loaded the image. `None`: what it has may not be all there is.
    Reader(Option<Tails>),
    /// It writes.
    Owner(Arc<Checkpointer>, Ownership),
}

impl Role {
    /// `None`: a reader's.
    pub(crate) fn checkpointer(&self) -> Option<Arc<Checkpointer>> {
        match self {
            Role::Owner(checkpointer, _) => Some(checkpointer.clone()),
            Role::Reader(_) => None,
        }
    }
}

impl Session {
    pub(crate) async fn open(found: Found, options: OpenOptions, clock: Arc<dyn Clock>) -> Result<Arc<Session>> {
        let OpenOptions { read_only, hold_moment, settings, executor, pool, snapshot, parents, bases } = options;
        let mut found = found;
        found.objects.base = base::open(found.header.base.as_ref(), &bases).await?;
        // What was is not written.
        let read_only = read_only || snapshot.is_some();
        let pool = PoolMetadata::new(pool.unwrap_or_else(|| found.objects.meta.clone()));
        let live = LiveSettings::new(settings, pool, &found.header.metadata).await?;
        let settings = live.now().clone();
        let events = Arc::new(HeaderEvents::default());
        // A reader is no user of the image, as with librbd: it is in nobody's way, and looks for news itself (`follow.rs`).
        let watch = match read_only {
            true => None,
            false => Some(watch::watch(&found.objects, &events, settings.watch_timeout).await?),
        };
        let began = Instant::now();
        let shown = snapshot.map(|snapshot| found.header.snapshots.find(&snapshot)).transpose()?;
        let loaded = match &shown {
            Some(snapshot) => {
                open::load_snapshot(&found.objects, found.header.clone(), snapshot.clone(), &settings).await
            }
            None => open::load_steadily(&found, &settings).await,
        };
        let (mut state, tails, header) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                if let Some(watch) = watch {
                    let _ = found.objects.meta.unwatch(watch).await;
                }
                return Err(error);
            }
        };
        let follower = Follower::default();
        follower.set_age(Some(began));
        follower.view.lock().await.loaded(&tails, std::mem::take(&mut state.rest));
        let parent = state.view.lineage.ancestors().all().last().map(|parent| parent.uuid);
        let mut shared = Shared::new(&header.name, state, &settings, events.mailbox.counters.clone());
        if let (Some(parents), Some(parent)) = (parents.filter(|_| settings.cache_bytes > 0), parent) {
            shared.parents = Some(parents.of(parent, settings.cache_bytes));
        }
        let shared = Arc::new(shared);
        let collector = Arc::new(Collector::new(found.objects.clone(), shared.clone(), clock.clone(), &settings));
        let session = Arc::new(Session {
            objects: found.objects,
            image: header.image.clone(),
            shared,
            settings: Arc::new(live),
            executor,
            read_only,
            hold_moment: (hold_moment && read_only) || shown.is_some(),
            bases,
            shown,
            follower,
            clock,
            events,
            prefetch: Prefetch::default(),
            queue: FairQueue::default(),
            underway: Underway::default(),
            refusals: Refusals::default(),
            described: Mutex::new(Described::of(&header)),
            owned: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
            unwritten: Mutex::default(),
            end: tokio::sync::OnceCell::new(),
            by_hand: AtomicBool::new(false),
            yielded: Mutex::default(),
            unreleased: Mutex::default(),
            maintenance: tokio::sync::Mutex::new(Role::Reader(Some(tails))),
            collector,
            watch: Mutex::new(watch),
            tasks: Mutex::default(),
        });
        session.take_up_options();
        if !read_only {
            session.spawn(background::follow_header(Arc::downgrade(&session), session.events.clone()));
            session.spawn(background::keep_watching(Arc::downgrade(&session), session.events.clone()));
            session.spawn(handover::hand_over_on_request(Arc::downgrade(&session), session.events.clone()));
            session.spawn(changes::settle_doubts(Arc::downgrade(&session), session.events.clone()));
            session.spawn(requests::serve(Arc::downgrade(&session), session.events.clone()));
        }
        Ok(session)
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        let task = tokio::spawn(task);
        let handle = task.abort_handle();
        tasks.push(task);
        handle
    }

    pub(crate) fn described(&self) -> MutexGuard<'_, Described> {
        self.described.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not to be held across anything that takes time.
    pub(crate) fn settings(&self) -> RwLockReadGuard<'_, Settings> {
        self.settings.now()
    }

    pub(crate) async fn config(&self, config: &(dyn Fn(&str) -> Option<String> + Sync)) -> Result<Vec<ConfigOption>> {
        let metadata = self.described().metadata.clone();
        self.settings.listed(config, &metadata).await
    }

    /// Takes up what the header says of the image, and tells of it if clients see a difference.
    pub(crate) fn describe(&self, header: &Header) {
        self.objects.note_migration(header);
        let fresh = Described::of(header);
        let is_news = {
            let mut described = self.described();
            let is_news = !fresh.looks_like(&described);
            *described = fresh;
            is_news
        };
        self.take_up_options();
        if is_news {
            self.events.publish(UpdateEvent::Header);
        }
    }

    /// The image's metadata or the pool's may have changed: puts in force what they say.
    pub(crate) fn take_up_options(&self) {
        // One after the other, so that the last one to look has the last word.
        let _turn = self.settings.turn();
        {
            let mut described = self.described();
            described.option_faults = self.settings.take_up(&described.metadata);
        }
        let settings = self.settings().clone();
        self.shared.take_up(&settings);
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the image is closed"));
        }
        Ok(())
    }

    pub(crate) fn owns(&self) -> bool {
        self.owned.load(Ordering::Acquire)
    }

    pub(crate) fn set_watch(&self, watch: WatchId) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
    }

    pub(crate) fn watch(&self) -> Option<WatchId> {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the header says of the image, without its data.
    pub(crate) async fn describe_anew(&self) -> Result<()> {
        let header = Header::read(&self.objects).await?;
        self.describe(&header);
        Ok(())
    }

    /// Reads the header again; a handle that only reads also takes up the latest durable state of the data.
    #[compiled_here]
    pub(crate) async fn refresh(&self) -> Result<()> {
        self.settings.look_at_pool().await;
        self.take_up_options();
        let mut role = self.maintenance.lock().await;
        self.reload(&mut role).await
    }

    /// The same with the maintenance lock held.
    #[compiled_here]
    pub(crate) async fn reload(&self, role: &mut Role) -> Result<()> {
        match role {
            Role::Reader(_) if self.shown.is_some() => self.describe_anew().await?,
            Role::Reader(tails) => match self.follow(&mut *self.follower.view.lock().await).await? {
                Followed::Nothing => {}
                Followed::More => *tails = None,
                Followed::All(seen) => *tails = Some(seen),
            },
            Role::Owner(..) => {
                self.describe_anew().await?;
                // Its last clone may have gone.
                if self.described().snapshots.all.values().any(|record| record.is_removing) {
                    self.events.release_due.notify_one();
                }
            }
        }
        Ok(())
    }

    /// Who calls it again while it is at work waits for it, and goes on where it was dropped half-way.
    pub(crate) async fn close(self: &Arc<Self>) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        // What waits there finds the image closed.
        self.shared.gate.lift();
        self.end.get_or_init(|| self.close_once()).await.clone()
    }

    async fn close_once(&self) -> Result<()> {
        let mut role = self.maintenance.lock().await;
        tracing::info!(target: "lsd::image", image = self.shared.image, op = "close", "the image is being closed");
        let result = match &*role {
            Role::Owner(checkpointer, ownership) => {
                // Rule 20: what waits finds the image closed, and what was accepted goes, also in a full pool.
                self.owned.store(false, Ordering::Release);
                // What cannot be given back now the next owner gives back.
                let _ = self.release_snapshots(checkpointer).await;
                let _ = self.loose_from_parent().await;
                let written = match self.come_to_rest(true).await {
                    Ok(()) => checkpointer.write(&self.objects, &self.shared, Purpose::Clean).await,
                    Err(error) => Err(error),
                };
                let watch = ownership.watch;
                self.events.mailbox.announce(Claim::Reader);
                *role = Role::Reader(None);
                // A close that is given up from here on is taken up again by a reader, who tells the same.
                *self.unwritten.lock().unwrap_or_else(PoisonError::into_inner) = written.clone().err();
                self.shared.unlocked.notify_waiters();
                // The lock of an image that could not be closed cleanly goes too: recovery does not need it. If it stays, this
                // client looks dead to the next one as soon as it does not watch any more.
                let _ = self.give_lock_back(watch).await;
                written
            }
            // A handle that failed while it owned the image has lost what was not durable, though it owns nothing any more.
            Role::Reader(_) => {
                let _ = self.give_back_what_is_left().await;
                let unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner).clone();
                unwritten.map_or_else(|| self.shared.lock().check_alive(), Err)
            }
        };
        let result = match result {
            // Another client has the image now, and nothing that this one acknowledged is missing from it.
            Err(error) if error.kind == ErrorKind::Fenced && !self.shared.lock().has_lost() => Ok(()),
            result => result,
        };
        self.events.quiet.clear();
        self.forget_mark().await;
        let watch = *self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = watch {
            let _ = self.objects.meta.unwatch(watch).await;
        }
        self.stop();
        result
    }

    fn stop(&self) {
        self.shared.fail(Error::new(ErrorKind::Closed, "the image is closed"));
        self.shared.end_writing(&mut self.shared.lock());
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without a close this is a crash as far as the store is concerned: recovery takes care of it.
        self.stop();
    }
}

/// The acknowledgement that is in force: write-back only after the first flush, as librbd's write-through until flush.
pub(crate) fn waits_for_log(settings: &Settings, flushed: bool) -> bool {
    match settings.ack {
        AckMode::Journal => true,
        AckMode::Writeback => settings.writethrough_until_flush && !flushed,
    }
}
