//! The end of a run: what is left is looked at as a whole.
//!
//! Owns: the last look at snapshots, the check of the image. Does not own: the removal (`removal.rs`).
use crate::run::asker::options;
use crate::run::breeder::Breeder;
use crate::run::scenario::Scenario;
use crate::run::snapshots::Visitor;
use lsd_engine::{Error, Fault, Image, Severity};
use lsd_store::ObjectStore;
use std::sync::Arc;
use std::time::Duration;

/// Until what removed snapshots needed was given back.
const RELEASED: Duration = Duration::from_secs(60);

/// Compares every snapshot a last time, checks the image, removes the snapshots and checks it again. Nothing fails any more.
pub async fn look_back(scenario: &Arc<Scenario>) {
    let Some(album) = &scenario.album else { return check(scenario, false).await };
    let (client, store) = scenario.connect().await;
    scenario.net.set_calm(client, true);
    let result = async {
        let visitor = visitor(scenario, client, &store).await?;
        visitor.list().await;
        for snap in album.all() {
            visitor.look(&snap, &[]).await;
        }
        visitor.image.write(0, bytes::Bytes::new(), false).await?;
        visitor.image.close().await?;
        check(scenario, true).await;
        if scenario.brood.is_some() {
            Breeder::new(scenario, client, &store).look_back().await?;
        }
        let visitor = self::visitor(scenario, client, &store).await?;
        for snap in visitor.image.snapshots().list().await? {
            if snap.is_protected {
                visitor.image.snapshots().unprotect(&snap.name).await?;
            }
            visitor.image.snapshots().remove_by_id(snap.id).await?;
        }
        visitor.image.write(0, bytes::Bytes::new(), false).await?;
        tokio::time::sleep(RELEASED).await;
        visitor.image.close().await?;
        check(scenario, true).await;
        Ok::<(), Error>(())
    };
    if let Err(error) = result.await {
        scenario.judge.fail(format!("at the end, when nothing fails: {:?}: {error}", error.kind));
    }
    scenario.net.bury(client);
}

async fn visitor(scenario: &Arc<Scenario>, client: usize, store: &Arc<dyn ObjectStore>) -> Result<Visitor, Error> {
    let (options, clock) = (options(), scenario.site.clock.clone());
    let image = Image::open_with_clock(store, &scenario.image(), &options, clock).await?;
    Ok(Visitor { scenario: scenario.clone(), client, store: store.clone(), image, options, is_owner: false })
}

/// `closed`: the image was closed, so that nothing is left to give back.
async fn check(scenario: &Scenario, closed: bool) {
    let (net, judge) = (&scenario.net, &scenario.judge);
    let (client, store) = scenario.connect().await;
    net.set_calm(client, true);
    match Image::check(&store, &scenario.image(), &|_, _| Ok(())).await {
        Ok(report) => {
            for finding in report.findings {
                // Nothing leads to the pages of a checkpoint that was cut short, and a tie without its clone stays until somebody
                // removes the snapshot.
                let may_stay = matches!(finding.fault, Fault::OrphanPage | Fault::LostClone { .. });
                match finding.fault.severity() {
                    Severity::Corruption => judge.fail(format!("the check finds {finding:?}")),
                    Severity::Leak if closed && !may_stay => judge.fail(format!("the check still finds {finding:?}")),
                    Severity::Leak => net.count(|coverage| coverage.leaks += 1),
                    Severity::Note => {}
                }
            }
        }
        Err(error) => judge.fail(format!("the image cannot be checked: {:?}: {error}", error.kind)),
    }
    net.bury(client);
}
