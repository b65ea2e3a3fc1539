//! How to reach a cluster: the connection options that every Ceph command takes.
use std::path::PathBuf;

/// Options of a connection. What is not set comes from ceph.conf, `CEPH_ARGS` and librados' defaults, in the same
/// order of precedence as for Ceph's own commands.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// `-c`, `--conf`. Without it librados looks at `CEPH_CONF`, `/etc/ceph/CLUSTER.conf`, `~/.ceph/CLUSTER.conf` and
    /// `./CLUSTER.conf`, and goes on when there is none.
    pub conf_file: Option<PathBuf>,
    /// `--cluster`; `ceph` by default.
    pub cluster: Option<String>,
    /// `--id`, `--user`: the name without its type; `admin` by default.
    pub id: Option<String>,
    /// `-n`, `--name`: the name with its type, as `client.admin`. It wins over `id`.
    pub name: Option<String>,
    /// `-m`: monitors.
    pub mon_host: Option<String>,
    /// `-k`, `--keyring`.
    pub keyring: Option<PathBuf>,
    /// `-K`, `--keyfile`.
    pub keyfile: Option<PathBuf>,
    /// Further settings, applied in order. Settings named `lsd_*` are kept beside librados, which does not know them.
    pub settings: Vec<(String, String)>,
}

impl ConnectOptions {
    /// The client's name with its type.
    pub fn client_name(&self) -> String {
        match (&self.name, &self.id) {
            (Some(name), _) => name.clone(),
            (None, Some(id)) => format!("client.{id}"),
            (None, None) => "client.admin".to_owned(),
        }
    }

    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }
}
