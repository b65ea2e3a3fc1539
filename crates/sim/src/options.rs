//! What the environment asks of every run, and what a run's seed says of it.

/// From here on every seed takes snapshots.
const FIRST_OF_SNAPSHOTS: u64 = 1_000_000;

/// From here on every seed migrates its image.
const FIRST_OF_MIGRATIONS: u64 = 2_000_000;

/// Whether clients stay alive beside the next one and hand the image to each other (`LSD_SIM_SHARE`). Not by default: what the oracle
/// may demand of such histories is not settled yet (docs/TESTING.md).
pub fn shares() -> bool {
    std::env::var_os("LSD_SIM_SHARE").is_some()
}

/// Whether the run is one of migrations: of the low seeds every thirtieth, which are none that found something before.
pub fn migrates(seed: u64) -> bool {
    seed >= FIRST_OF_MIGRATIONS || (seed < FIRST_OF_SNAPSHOTS && seed % 30 == 25)
}

/// Whether clients of this run take snapshots: in every sixth of the low seeds, so that those that were there before do what they
/// did.
pub fn takes_snapshots(seed: u64) -> bool {
    seed >= FIRST_OF_SNAPSHOTS || seed % 6 == 1
}

/// Whether clones are made of them: in every other one of those runs.
pub fn makes_clones(seed: u64) -> bool {
    takes_snapshots(seed) && seed / 6 % 2 == 1
}
