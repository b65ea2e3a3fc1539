//! The log of a command: whether there is one, and where.
//!
//! Owns: what of command line, environment and ceph.conf counts. Does not own: the log (crate `lsd-log`).
use super::Session;
use crate::error::{Failure, Result};
use lsd_log::{FILE_OPTION, LEVEL_OPTION};
use std::path::PathBuf;

/// Which events Rust programs tell, by custom.
const VARIABLE: &str = "RUST_LOG";
/// Ceph's own option for the file that librados logs to. Given on the command line it is for our lines as well.
const CEPH_FILE_OPTION: &str = "log_file";

impl Session {
    /// Begins the log if somebody asked for one: `--log-level`, else RUST_LOG, else ceph.conf. `EXIT_USAGE`: the command line names
    /// no level. Elsewhere that is told, and there is no log: the variable is of other programs, too.
    pub fn start_log(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let given = |name| self.globals.setting(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let file = given(FILE_OPTION).or_else(|| given(CEPH_FILE_OPTION)).or_else(|| self.in_file(FILE_OPTION));
        let file = file.map(PathBuf::from);
        if let Some(level) = given(LEVEL_OPTION) {
            let started = lsd_log::start(&level, file.as_deref());
            return started.map_err(|wrong| Failure::usage(format!("--log-level: {wrong}")));
        }
        let variable = env(VARIABLE).filter(|text| !text.is_empty()).map(|level| (VARIABLE, level));
        let asked = variable.or_else(|| Some((LEVEL_OPTION, self.in_file(LEVEL_OPTION)?)));
        if let Some((name, level)) = asked
            && let Err(wrong) = lsd_log::start(&level, file.as_deref())
        {
            self.warn_once(format!("lsd: {name}: {wrong}: there is no log"));
        }
        Ok(())
    }

    fn in_file(&self, key: &str) -> Option<String> {
        self.conf.get(self.globals.entity(), key).filter(|text| !text.is_empty()).map(str::to_owned)
    }
}
