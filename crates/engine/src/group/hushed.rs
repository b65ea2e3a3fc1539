//! Clients of a group's images that are quiet while its snapshot is taken.
//!
//! Owns: asking those of all images side by side, and letting all of them go on. Does not own: asking those of one image
//! (`session/quiesce/ask.rs`).
use super::held::Opened;
use crate::session::quiesce::ask::Hush;
use crate::{Quiesce, Result};
use futures::future::join_all;
use tokio::sync::watch;

/// All of them, or an error and nobody is quiet. Those that are quiet already stay so while others become it.
pub(super) async fn hush_all(images: &[Opened], mode: Quiesce) -> Result<Vec<Hush>> {
    let open = watch::Sender::new(images.len());
    let hush = async |image: &Opened| {
        let mut over = open.subscribe();
        let hushed = tokio::select! {
            hushed = image.session.hush(mode, &|_, _| Ok(())) => hushed,
            // Another one has failed: whoever this one has asked is told to go on.
            _ = over.wait_for(|open| *open == 0) => return Ok(None),
        };
        open.send_modify(|open| *open = if hushed.is_ok() { open.saturating_sub(1) } else { 0 });
        if let Ok(Some(hush)) = &hushed {
            // Its sender is there: it ends when nobody is waited for any more.
            let _ = hush.during(open.subscribe().wait_for(|open| *open == 0)).await;
        }
        hushed
    };
    let (mut hushes, mut failed) = (Vec::new(), None);
    for hushed in join_all(images.iter().map(hush)).await {
        match hushed {
            Ok(hush) => hushes.extend(hush),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        None => Ok(hushes),
        Some(error) => {
            let _ = end_all(hushes).await;
            Err(error)
        }
    }
}

/// Does the work, and keeps them quiet meanwhile.
pub(super) async fn during<T>(hushes: &[Hush], work: impl Future<Output = T>) -> T {
    let keep = join_all(hushes.iter().map(|hush| hush.during(std::future::pending::<()>())));
    match hushes.is_empty() {
        true => work.await,
        false => tokio::select! {
            done = work => done,
            _ = keep => unreachable!("it has no end"),
        },
    }
}

/// The first error, after all of them.
pub(super) async fn end_all(hushes: Vec<Hush>) -> Result<()> {
    join_all(hushes.into_iter().map(Hush::end)).await.into_iter().collect()
}
