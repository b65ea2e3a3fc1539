//! `lsd perf`: what the clients of an image count, asked of them.
//!
//! Owns: asking once, or again and again. Does not own: how counters are shown (`perf/counters.rs`), which there are (the engine).
use super::transfer::closed;
use crate::command::image_args::existing_image;
use crate::command::options::{FORMAT, IMAGE_SPEC, ONE_IMAGE};
use crate::command::{CommandSpec, OptionSpec, Parsed};
use crate::error::{Failure, Result};
use crate::output::format::Format;
use crate::output::print;
use crate::session::Session;
use counters::Client;
use lsd_engine::{ClientStats, Image};
use std::time::{Duration, Instant};

pub mod counters;

pub const SPEC: CommandSpec = CommandSpec {
    words: &["perf"],
    alias: &[],
    summary: "Show the counters of every client that has this image open for writing.",
    epilogue: "Counters begin at zero when a client opens the image.",
    positionals: &[IMAGE_SPEC],
    options: &[
        ONE_IMAGE,
        &[
            OptionSpec::value("interval", "show rates (per second), every so many seconds"),
            OptionSpec::value("count", "end after showing so many rates [default: never]"),
        ],
        FORMAT,
    ],
    run: |session, parsed| Box::pin(execute(session, parsed)),
};

/// How often rates are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rounds {
    every: Duration,
    /// `None`: until the program is interrupted.
    count: Option<u64>,
}

impl Rounds {
    /// `None`: nobody asks for rates.
    fn of(parsed: &Parsed) -> Result<Option<Self>> {
        let positive = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
        let count = parsed.get_with("count", positive)?;
        match parsed.get_with("interval", positive)? {
            Some(seconds) => Ok(Some(Self { every: Duration::from_secs(seconds), count })),
            None if count.is_some() => Err(Failure::usage("--count needs --interval")),
            None => Ok(None),
        }
    }
}

async fn execute(session: &Session, parsed: &Parsed) -> Result<()> {
    let location = existing_image(parsed)?;
    let format = Format::of(parsed)?;
    let rounds = Rounds::of(parsed)?;
    let image = location.open_image(session, true).await?;
    let done = match rounds {
        Some(rounds) => show_rates(&image, format, rounds).await,
        None => show_totals(&image, format).await,
    };
    closed(&image, "show counters failed", done).await
}

async fn ask(image: &Image) -> Result<Vec<ClientStats>> {
    image.client_stats().await.map_err(|error| Failure::engine("show counters failed", &error))
}

async fn show_totals(image: &Image, format: Format) -> Result<()> {
    show(format, &counters::totals(ask(image).await?), "COUNTER")
}

async fn show_rates(image: &Image, format: Format, rounds: Rounds) -> Result<()> {
    // Clients answer at once: a silent one delays the end of a question, not what the others say.
    let mut asked = Instant::now();
    let mut before = ask(image).await?;
    let mut round = 0;
    while rounds.count.is_none_or(|count| round < count) {
        tokio::time::sleep(rounds.every).await;
        let (elapsed, again) = (asked.elapsed(), Instant::now());
        let now = ask(image).await?;
        if round > 0 && format == Format::Plain {
            print("\n")?;
        }
        show(format, &counters::rates(&before, &now, elapsed), "PER SECOND")?;
        (asked, before, round) = (again, now, round + 1);
    }
    Ok(())
}

fn show(format: Format, clients: &[Client], heading: &str) -> Result<()> {
    format.print("counters", &counters::tree(clients), || counters::plain(clients, heading))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(args: &[&str]) -> Result<Option<Rounds>> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Rounds::of(&Parsed::parse(&SPEC, &args)?)
    }

    #[test]
    fn rates_are_asked_for_with_an_interval() {
        assert_eq!(rounds(&["rbd/a"]).unwrap(), None);
        let every = Duration::from_secs(2);
        assert_eq!(rounds(&["a", "--interval", "2"]).unwrap(), Some(Rounds { every, count: None }));
        assert_eq!(rounds(&["a", "--interval=2", "--count", "3"]).unwrap(), Some(Rounds { every, count: Some(3) }));
        for wrong in [["--interval", "0"], ["--interval", "-1"], ["--interval", "soon"], ["--count", "3"]] {
            assert_eq!(rounds(&wrong).unwrap_err().code, 1, "{wrong:?}");
        }
        assert_eq!(rounds(&["--interval", "1", "--count", "0"]).unwrap_err().code, 1);
    }
}
