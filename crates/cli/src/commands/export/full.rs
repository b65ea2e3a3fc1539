//! `lsd export --export-format 2`: an image with its layout, its metadata and all its snapshots.
use super::since::Difference;
use crate::commands::changes::Start;
use crate::commands::snap::is_users;
use crate::commands::transfer::requests_in_flight;
use crate::error::{Failure, Result};
use crate::interchange::diff::Version;
use crate::interchange::image::{ImageHeader, encode_count};
use crate::interchange::{Output, Writer};
use crate::output::progress::ProgressLine;
use crate::session::{Location, Session};
use lsd_engine::{Error, Image, SnapInfo};

const FAILED: &str = "export error";

fn failed(error: &Error) -> Failure {
    Failure::engine(FAILED, error)
}

/// Each snapshot as what differs from the one before it, at last the image. `snapshots` were there before `head` was opened.
pub async fn export(
    session: &Session,
    (location, head): (&Location, &Image),
    snapshots: &[SnapInfo],
    output: Output,
    line: &ProgressLine,
) -> Result<()> {
    let writer = output.start();
    let exported = write(session, (location, head), snapshots, &writer, line).await;
    let written = writer.finish().await.map_err(|error| Failure::io(FAILED, &error));
    exported.and(written)
}

/// The snapshots of an image that such a file has, in their order.
pub async fn snapshots_of(image: &Image) -> Result<Vec<SnapInfo>> {
    let all = image.snapshots().list().await.map_err(|error| failed(&error))?;
    Ok(all.into_iter().filter(is_users).collect())
}

async fn write(
    session: &Session,
    (location, head): (&Location, &Image),
    snapshots: &[SnapInfo],
    writer: &Writer,
    line: &ProgressLine,
) -> Result<()> {
    let total = snapshots.len() as u64 + 1;
    let mut front = header_of(head).await?.encode();
    front.extend(encode_count(total));
    writer.write(vec![front.into()]).await;
    let mut start = Start::Beginning;
    let mut from = None;
    let in_flight = requests_in_flight(session);
    for (index, snapshot) in (0..).zip(snapshots) {
        let at = Location { snap: Some(snapshot.name.clone()), ..location.clone() };
        let image = match at.open_image(session, true).await {
            Ok(image) => image,
            Err(failure) => return start.close(FAILED, Err(failure)).await,
        };
        let difference = Difference {
            image: &image,
            start: &start,
            from,
            to: Some(snapshot),
            version: Version::Two,
            whole_objects: false,
            in_flight,
        };
        let written = difference.write(writer, &|_| {}).await.map_err(|error| failed(&error));
        let written = start.close(FAILED, written).await;
        start = Start::At(Box::new(image));
        from = Some(snapshot.name.as_str());
        if written.is_err() {
            return start.close(FAILED, written).await;
        }
        line.update(index, total);
    }
    let difference = Difference {
        image: head,
        start: &start,
        from,
        to: None,
        version: Version::Two,
        whole_objects: false,
        in_flight,
    };
    let written = difference.write(writer, &|_| {}).await.map_err(|error| failed(&error));
    line.update(total, total);
    start.close(FAILED, written).await
}

async fn header_of(image: &Image) -> Result<ImageHeader> {
    let info = image.info();
    Ok(ImageHeader {
        order: Some(info.order.into()),
        features: Some(info.features),
        stripe_unit: Some(info.stripe_unit),
        stripe_count: Some(info.stripe_count),
        metadata: image.metadata().list().await.map_err(|error| failed(&error))?,
    })
}
