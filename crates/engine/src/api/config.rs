//! What holds for a pool or an image: every option that is listed, with its text and the level that says so.
//!
//! Owns: which level counts. Does not own: the options (`options.rs`), what they mean for an open image (`settings.rs`).
use crate::api::options::{DEFAULTS, Level, OVERRIDE_PREFIX, is_understood, level_of};
use std::collections::BTreeMap;

/// The level that says what holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// ceph.conf, the command line, the cluster's own settings, or nobody: the default.
    Config,
    Pool,
    Image,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigOption {
    pub name: &'static str,
    /// As whoever said it wrote it.
    pub value: String,
    pub source: ConfigSource,
}

/// Keys and values of a pool or an image.
type Metadata = BTreeMap<String, String>;

/// What holds for a pool, in the order of the names. `config`: an option's text by its name, `None` where it is unset.
pub fn pool_config(config: &dyn Fn(&str) -> Option<String>, pool: &Metadata) -> Vec<ConfigOption> {
    let all = DEFAULTS.iter().map(|(name, default)| option(config, (name, default), &[(ConfigSource::Pool, pool)]));
    all.collect()
}

/// The same for an image: only what an image may override.
pub(crate) fn image_config(
    config: &dyn Fn(&str) -> Option<String>,
    pool: &Metadata,
    image: &Metadata,
) -> Vec<ConfigOption> {
    let levels = [(ConfigSource::Image, image), (ConfigSource::Pool, pool)];
    let of_images = DEFAULTS.iter().filter(|(name, _)| level_of(name) == Some(Level::Image));
    of_images.map(|(name, default)| option(config, (name, default), &levels)).collect()
}

/// What a client says of the options that are listed, where that is not the default: kept to be asked later.
pub fn client_config(config: &dyn Fn(&str) -> Option<String>) -> BTreeMap<&'static str, String> {
    let said = |(name, default): &(&'static str, &str)| Some((*name, config(name).filter(|text| text != default)?));
    DEFAULTS.iter().filter_map(said).collect()
}

/// Whether there is an option of this name that a pool, or even an image may override.
pub fn is_overridable(name: &str) -> bool {
    level_of(name).is_some()
}

/// `levels`: the one that counts most first. What is not understood is not in force.
fn option(
    config: &dyn Fn(&str) -> Option<String>,
    (name, default): (&'static str, &str),
    levels: &[(ConfigSource, &Metadata)],
) -> ConfigOption {
    let key = format!("{OVERRIDE_PREFIX}{name}");
    let said = |(source, metadata): &(ConfigSource, &Metadata)| {
        let value = metadata.get(&key).filter(|text| is_understood(name, text))?;
        Some(ConfigOption { name, value: value.clone(), source: *source })
    };
    levels.iter().find_map(said).unwrap_or_else(|| {
        let value = config(name).unwrap_or_else(|| default.to_owned());
        ConfigOption { name, value, source: ConfigSource::Config }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn find(options: &[ConfigOption], name: &str) -> (String, ConfigSource) {
        let found = options.iter().find(|option| option.name == name).unwrap();
        (found.value.clone(), found.source)
    }

    #[test]
    fn the_image_counts_more_than_the_pool_and_that_more_than_the_client() {
        let config = |name: &str| (name == "rbd_cache_size").then(|| "1".to_owned());
        let pool = metadata(&[("conf_rbd_cache", "false"), ("conf_rbd_qos_iops_limit", "5"), ("rbd_cache_size", "3")]);
        let image = metadata(&[("conf_rbd_cache", "1"), ("conf_rbd_default_order", "23")]);
        let options = image_config(&config, &pool, &image);
        assert_eq!(find(&options, "rbd_cache"), ("1".to_owned(), ConfigSource::Image));
        assert_eq!(find(&options, "rbd_qos_iops_limit"), ("5".to_owned(), ConfigSource::Pool));
        assert_eq!(find(&options, "rbd_cache_size"), ("1".to_owned(), ConfigSource::Config));
        assert_eq!(find(&options, "rbd_cache_policy"), ("writearound".to_owned(), ConfigSource::Config));
        assert!(options.iter().all(|option| option.name != "rbd_default_order"));
        let options = pool_config(&config, &pool);
        assert_eq!(find(&options, "rbd_cache"), ("false".to_owned(), ConfigSource::Pool));
        assert_eq!(find(&options, "rbd_default_order"), ("22".to_owned(), ConfigSource::Config));
    }

    #[test]
    fn what_is_not_understood_is_not_in_force() {
        let options = pool_config(&|_| None, &metadata(&[("conf_rbd_cache", "nonsense")]));
        assert_eq!(find(&options, "rbd_cache"), ("true".to_owned(), ConfigSource::Config));
    }
}
