//! Passwords and certificates that lie in files, to be read again: they change while the process runs.
//!
//! The keys that name the files are kept, and read by the same code as the first time. Nothing secret is kept here.

use super::section::Section;
use super::{ClickHouseConfig, MysqlConfig, ReadFile, Secret, keys, tls};
use crate::error::{Error, ErrorKind, Result};

/// What is in files; `tls` says what they are for.
const KEYS: [&str; 5] = ["password_file", "tls", "tls_ca", "tls_cert", "tls_key"];

/// The keys of a section that name such files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Files(toml::Table);

impl Files {
    /// Those of a section.
    pub fn of(section: &Section) -> Self {
        Self(section.given(&KEYS))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        !KEYS.iter().any(|key| *key != "tls" && self.has(key))
    }

    fn has(&self, key: &str) -> bool {
        self.0.get(key).and_then(toml::Value::as_str).is_some_and(|path| !path.is_empty())
    }

    /// Reads them as the section `name`; the error has the kind of what is to be tried again.
    fn read<T>(&self, name: &str, kind: ErrorKind, read: impl FnOnce(&mut Section) -> T) -> Result<T> {
        let table = toml::Table::from_iter([(name.to_owned(), self.0.clone().into())]);
        let mut root = Section::root(table, Vec::new());
        let answer = root.section(name, read);
        match root.finish() {
            (_, problems) if problems.is_empty() => Ok(answer),
            (_, problems) => Err(Error::new(kind, problems.join("; "))),
        }
    }
}

impl MysqlConfig {
    /// The same with what its files hold now.
    ///
    /// # Errors
    /// [`ErrorKind::SourceDown`] when they cannot be used: somebody may just be replacing them.
    pub fn read_again(&self, read_file: ReadFile<'_>) -> Result<Self> {
        if self.files.is_empty() {
            return Ok(self.clone());
        }
        let read = |section: &mut Section| (keys::password(section, read_file), tls::tls(section, read_file));
        let (password, tls) = self.files.read("mysql", ErrorKind::SourceDown, read)?;
        let password = if self.files.has("password_file") { password } else { self.password.clone() };
        Ok(Self { password, tls, ..self.clone() })
    }
}

impl ClickHouseConfig {
    /// The password that its file holds now; `None` when it has none.
    ///
    /// # Errors
    /// [`ErrorKind::TargetDenied`] when it cannot be read.
    pub fn read_password_again(&self, read_file: ReadFile<'_>) -> Result<Option<Secret>> {
        if !self.files.has("password_file") {
            return Ok(None);
        }
        self.files.read("clickhouse", ErrorKind::TargetDenied, |section| keys::password(section, read_file)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::error::ErrorKind;

    fn resolve(text: &str) -> Config {
        let text = format!("{text}\n[replicate]\ntables = [\"shop.*\"]");
        Config::resolve(&text, &|_| None, &|_| Ok("first\n".to_owned())).unwrap()
    }

    #[test]
    fn a_password_is_read_again() {
        let config = resolve("[mysql]\npassword_file = \"a\"\nuser = \"u\"\n[clickhouse]\npassword_file = \"b\"");
        let now = |path: &str| Ok(format!("second {path}\n"));
        let mysql = config.mysql.read_again(&now).unwrap();
        assert_eq!((mysql.password.expose(), mysql.user.as_str()), ("second a", "u"));
        let password = config.clickhouse.read_password_again(&now).unwrap().unwrap();
        assert_eq!(password.expose(), "second b");
        let gone = |_: &str| Err("no such file".to_owned());
        let error = config.mysql.read_again(&gone).unwrap_err();
        assert_eq!(error.kind, ErrorKind::SourceDown);
        assert!(error.text.contains("mysql.password_file") && error.text.contains("no such file"), "{error}");
        assert_eq!(config.clickhouse.read_password_again(&gone).unwrap_err().kind, ErrorKind::TargetDenied);
    }

    #[test]
    fn what_is_in_no_file_stays() {
        let config = resolve("[mysql]\npassword = \"x\"\ntls = \"required\"\n[clickhouse]\npassword = \"y\"");
        let never = |path: &str| panic!("{path}");
        assert!(config.mysql.files.is_empty());
        assert_eq!(config.mysql.read_again(&never).unwrap().password.expose(), "x");
        assert_eq!(config.clickhouse.read_password_again(&never).unwrap(), None);
    }
}
