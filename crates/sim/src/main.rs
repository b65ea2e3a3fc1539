//! `lsd-sim`: replays one seed, or runs seeds for a while.
use lsd_sim::{Coverage, run, run_many};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: lsd-sim --seed N [--trace]\n       lsd-sim --soak MINUTES [--from SEED]\n       lsd-sim --runs N [--from SEED]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| -> Option<u64> {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse().ok()
    };
    let from = number("--from").unwrap_or(1);
    match (number("--seed"), number("--soak"), number("--runs")) {
        (Some(seed), _, _) => replay(seed, arguments.iter().any(|argument| argument == "--trace")),
        (_, Some(minutes), _) => {
            let end = Instant::now() + Duration::from_secs(minutes * 60);
            many(from, &|_| Instant::now() >= end)
        }
        (_, _, Some(runs)) => many(from, &|covered: &Coverage| covered.runs >= runs),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn replay(seed: u64, trace: bool) -> ExitCode {
    let outcome = run(seed, trace);
    println!("seed {seed}: trace {:016x}, {}", outcome.trace_hash, outcome.coverage);
    match outcome.failure {
        Some(failure) => {
            println!("FAILED: {failure}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn many(from: u64, enough: &(dyn Fn(&Coverage) -> bool + Sync)) -> ExitCode {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let (coverage, failures) = run_many(from, threads, enough);
    println!("{coverage}");
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
