//! Logging in to real servers through the built binary: each way a password may be given and proved, and what is said
//! when the server lets nobody in. `tls` has the certificates, `source` the paths of `caching_sha2_password`.
//!
//! MariaDB is here because it alone still speaks `mysql_native_password`; that it is not supported is said after the log in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use mysql::prelude::Queryable;
use stream_bridge::config::{MysqlConfig, Secret};
use stream_bridge::error::ErrorKind;
use stream_bridge::mysql::connection::Connection;
use support::bridge::{Config, run_command};
use support::fixture::Fixture;
use support::servers::Servers;

/// `check` ends with this code and says these words, and never the password.
fn assert_check(config: &Config, code: i32, words: &[&str]) {
    let ended = run_command("check", config);
    assert_eq!(ended.code, Some(code), "{}", ended.text());
    for word in words {
        assert!(ended.text().contains(word), "{word:?} is not in:\n{}", ended.text());
    }
    assert!(!ended.text().contains("pass-word") && !ended.text().contains("panicked"), "{}", ended.text());
}

/// An account made by this text after its name, with all that the bridge needs, and the configuration that uses it.
fn account(test: &Fixture, name: &str, identified: &str, password: &str) -> Config {
    let (database, account) = (&test.database, format!("'{name}'@'%'"));
    test.sql(&format!(
        "DROP USER IF EXISTS {account};
         CREATE USER {account} {identified};
         GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {account};
         GRANT SELECT ON `{database}`.* TO {account};"
    ));
    let mut config = test.config();
    config.set("mysql.user", name).set("mysql.password", password);
    config
}

fn with_table(name: &str) -> Fixture {
    let test = Fixture::new(name);
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY)");
    test
}

#[test]
fn passwords_over_tls_without_it_and_none() {
    let test = with_table("login_ways");
    let name = "sb_login_ways";
    for (identified, password) in [("IDENTIFIED BY 'pass-word'", "pass-word"), ("IDENTIFIED BY ''", ""), ("", "")] {
        let mut config = account(&test, name, identified, password);
        for tls in ["disabled", "preferred", "required"] {
            // Without what the server remembers of the account it wants the password itself: by RSA, or inside TLS.
            test.sql("FLUSH PRIVILEGES");
            config.set("mysql.tls", tls);
            assert_check(&config, 0, &[]);
            assert_check(&config, 0, &[]);
            config.set("mysql.password", "not-this-one");
            assert_check(&config, 3, &["1045", name, "mysql.password"]);
            config.set("mysql.password", password);
        }
    }
    test.sql(&format!("DROP USER {name}"));
}

#[test]
fn passwords_from_a_file_and_from_the_environment() {
    let test = with_table("login_from");
    let (name, folder) = ("sb_login_from", tempfile::tempdir().unwrap());
    let file = folder.path().join("pass");
    // cargo gives this variable to tests.
    let secret = std::env::var("CARGO_PKG_NAME").unwrap();
    let mut config = account(&test, name, &format!("IDENTIFIED BY '{secret}'"), "${CARGO_PKG_NAME}");
    assert_check(&config, 0, &[]);
    config.set("mysql.password", "${NO_SUCH_VARIABLE}");
    assert_check(&config, 2, &["mysql.password", "NO_SUCH_VARIABLE"]);
    config.remove("mysql.password").set("mysql.password_file", file.to_str().unwrap());
    assert_check(&config, 2, &["mysql.password_file", "cannot be read"]);
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    assert_check(&config, 0, &[]);
    std::fs::write(&file, "pass-word\n").unwrap();
    assert_check(&config, 3, &["1045", name, "mysql.password"]);
    config.set("mysql.password", "pass-word");
    assert_check(&config, 2, &["mysql.password_file", "together with password"]);
    test.sql(&format!("DROP USER {name}"));
}

#[test]
fn accounts_that_are_locked_expired_unknown_or_of_another_host() {
    let test = with_table("login_barred");
    let name = "sb_login_barred";
    let by = "IDENTIFIED BY 'pass-word'";
    assert_check(&account(&test, name, by, "pass-word"), 0, &[]);
    let locked = account(&test, name, &format!("{by} ACCOUNT LOCK"), "pass-word");
    assert_check(&locked, 3, &["3118", name, "locked", "ACCOUNT UNLOCK"]);
    let expired = account(&test, name, &format!("{by} PASSWORD EXPIRE"), "pass-word");
    assert_check(&expired, 3, &["1862", "expired", "PASSWORD EXPIRE NEVER"]);
    let sha256 = account(&test, name, "IDENTIFIED WITH sha256_password BY 'pass-word'", "pass-word");
    assert_check(&sha256, 3, &["sha256_password", "not supported", "caching_sha2_password"]);
    test.sql(&format!("DROP USER {name}"));
    // What is asked of an account that does not exist is the server's choice.
    assert_check(&sha256, 3, &["mysql.user"]);
    let mut elsewhere = test.config();
    test.sql("DROP USER IF EXISTS sb_login_host@'192.0.2.1'");
    test.sql("CREATE USER sb_login_host@'192.0.2.1' IDENTIFIED BY 'pass-word'");
    elsewhere.set("mysql.user", "sb_login_host").set("mysql.password", "pass-word");
    assert_check(&elsewhere, 3, &["mysql.user"]);
    test.sql("DROP USER sb_login_host@'192.0.2.1'");
}

#[test]
fn mysql_native_password_and_the_refusal_of_mariadb() {
    let servers = Servers::own_mariadb("native", &[]);
    let mut root = servers.mysql.connect();
    for statement in [
        "CREATE USER native@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('pass-word')",
        "CREATE USER empty@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('')",
        "CREATE USER encrypted@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('pass-word') REQUIRE SSL",
        "GRANT ALL ON *.* TO native@'%', empty@'%'",
    ] {
        root.query_drop(statement).unwrap();
    }
    let mut config = Config::new(&servers, "sb_login_mariadb");
    config.set("mysql.user", "native").set("mysql.password", "pass-word");
    for tls in ["disabled", "preferred", "required"] {
        config.set("mysql.tls", tls);
        assert_check(&config, 3, &["this is MariaDB", "not supported", "point mysql.host at a MySQL server"]);
        let ended = run_command("run", &config);
        assert_eq!(ended.code, Some(1), "{}", ended.text());
        assert!(ended.text().contains("MariaDB"), "{}", ended.text());
    }
    config.set("mysql.password", "not-this-one");
    assert_check(&config, 3, &["1045", "native", "mysql.password"]);
    config.set("mysql.user", "nobody");
    assert_check(&config, 3, &["1045", "nobody", "mysql.user"]);
    config.set("mysql.user", "empty").set("mysql.password", "");
    assert_check(&config, 3, &["this is MariaDB"]);
    config.set("mysql.user", "encrypted").set("mysql.password", "pass-word").set("mysql.tls", "disabled");
    assert_check(&config, 3, &["1045", "mysql.tls"]);
    native_logins_do_what_sql_says(&servers);
}

/// A session that logged in by it is one like any other; a long password, one that is not ASCII.
fn native_logins_do_what_sql_says(servers: &Servers) {
    let mut root = servers.mysql.connect();
    let config = Config::new(servers, "sb_login_mariadb");
    let text = std::fs::read_to_string(config.write()).unwrap();
    let resolved = stream_bridge::config::Config::resolve(&text, &|_| None, &|_| Err("no files".to_owned()));
    let resolved = resolved.unwrap().mysql;
    for password in ["x", "päß-wört 日本", &"long".repeat(60)] {
        root.query_drop("DROP USER IF EXISTS other@'%'").unwrap();
        let create = format!("CREATE USER other@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('{password}')");
        root.query_drop(create).unwrap();
        let config = MysqlConfig { user: "other".to_owned(), password: Secret::new(password), ..resolved.clone() };
        let rows = Connection::open(&config).unwrap().rows("SELECT CURRENT_USER()").unwrap();
        assert_eq!(rows, [[Some("other@%".to_owned())]], "{password}");
        let wrong = MysqlConfig { password: Secret::new(format!("{password} ")), ..config };
        assert_eq!(Connection::open(&wrong).unwrap_err().kind, ErrorKind::SourceRefused);
    }
}
