//! What the server at the other end can do, asked once when the client connects.
//!
//! A setting that a server does not know refuses the whole request (code 115), and each release adds and removes some;
//! so a setting is sent only when `system.settings` of this server names it.

use std::collections::HashSet;

use crate::error::{Error, ErrorKind, Result};

/// Oldest server whose `ReplacingMergeTree(version, is_deleted)` and HTTP answers are known to be right.
const OLDEST: (u32, u32) = (23, 8);

/// The server's version and abilities.
#[derive(Debug, Clone, Default)]
pub struct Features {
    /// (major, minor): (26, 9).
    pub version: (u32, u32),
    /// Names in `system.settings`.
    pub settings: HashSet<String>,
    /// Whether the type Time64 exists.
    pub time64: bool,
}

impl Features {
    /// From the answers to `version()` and the names of settings.
    ///
    /// # Errors
    /// A version older than 23.8, or something that is no version.
    pub fn new(version: &str, settings: HashSet<String>, time64: bool) -> Result<Self> {
        let version = parse_version(version).ok_or_else(|| {
            let text =
                format!("clickhouse.url: the server calls its version {version:?}; is this a ClickHouse server?");
            Error::new(ErrorKind::Config, text)
        })?;
        if version < OLDEST {
            let text = format!(
                "ClickHouse {}.{} is too old: Stream Bridge needs {}.{} or newer. Upgrade the server",
                version.0, version.1, OLDEST.0, OLDEST.1
            );
            return Err(Error::new(ErrorKind::Config, text));
        }
        Ok(Self { version, settings, time64 })
    }

    /// Whether the server knows this setting.
    pub fn has(&self, setting: &str) -> bool {
        self.settings.contains(setting)
    }

    /// `&name=value` for each of the settings that the server knows.
    pub fn parameters(&self, settings: &[(&str, String)]) -> String {
        let known = settings.iter().filter(|(name, _)| self.has(name));
        known.map(|(name, value)| format!("&{name}={value}")).collect()
    }
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_servers_are_refused_by_name() {
        for (version, refused) in [
            ("26.9.2.1", None),
            ("23.8.16.1", None),
            ("23.7.1.1", Some("23.7")),
            ("18.16.1", Some("18.16")),
            ("nginx", Some("nginx")),
        ] {
            let result = Features::new(version, HashSet::new(), true);
            match (result, refused) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) => assert!(error.text.contains(part), "{error}"),
                (result, _) => panic!("{version}: {result:?}"),
            }
        }
    }

    #[test]
    fn only_known_settings_are_sent() {
        let features = Features::new("26.9", HashSet::from(["b".to_owned()]), true).unwrap();
        assert_eq!(features.parameters(&[("a", "1".to_owned()), ("b", "2".to_owned())]), "&b=2");
    }
}
