use super::*;
use crate::matrix::ROWS;

fn sample(value: f64, p99: f64) -> Sample {
    let osd = Usage { cpu_seconds: 1.0, writes: 50.0, ..Usage::default() };
    Sample {
        value,
        seconds: 1.0,
        writes: 1000.0,
        reads: 0.0,
        bytes: GIB,
        p99_ms: Some(p99),
        client_cpu_seconds: Some(2.0),
        osd: Some(osd),
    }
}

fn row(id: &str) -> RowResult {
    RowResult::new(ROWS.iter().find(|row| row.id == id).unwrap())
}

#[test]
fn ratio_of_medians_with_the_spread_of_rounds() {
    let mut row = row("fsync8");
    row.stock = [10.0, 20.0, 40.0].map(|value| sample(value, 1.0)).into();
    row.lsd = [20.0, 100.0, 120.0].map(|value| sample(value, 1.0)).into();
    row.conclude();
    assert_eq!(row.ratio, Spread { median: 5.0, min: 2.0, max: 5.0 });
    assert!(row.missed.is_empty(), "{:?}", row.missed);
}

#[test]
fn what_is_missed_is_said() {
    let mut row = row("rand4k");
    row.stock = vec![sample(10.0, 1.0)];
    row.lsd = vec![sample(99.0, 1.5)];
    row.conclude();
    assert_eq!(row.missed, ["9.90 of 10", "p99", "OSD writes", "OSD CPU 1.00 of stock's"]);
}

#[test]
fn a_shorter_time_is_a_larger_ratio() {
    let mut row = row("open");
    row.stock = vec![Sample { value: 30.0, ..Sample::default() }];
    row.lsd = vec![Sample { value: 10.0, ..Sample::default() }];
    row.conclude();
    assert_eq!(row.ratio.median, 3.0);
    // No bytes were moved, so nothing may be divided by them.
    assert_eq!(row.costs(Side::Lsd).osd_cpu_per_gib, None);
}

#[test]
fn the_middle_of_an_even_number_and_of_none() {
    assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
    assert_eq!(Spread::of(&[]), Spread::default());
}

#[test]
fn rows_have_ids_of_their_own() {
    let mut ids: Vec<_> = ROWS.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), ROWS.len());
}
