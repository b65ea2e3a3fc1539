//! What the environment asks of every run.

/// Whether clients stay alive beside the next one and hand the image to each other (`LSD_SIM_SHARE`). Not by default: what the oracle
/// may demand of such histories is not settled yet (docs/TESTING.md).
pub fn shares() -> bool {
    std::env::var_os("LSD_SIM_SHARE").is_some()
}
