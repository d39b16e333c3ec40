//! Plain SQL to the source: its variables, its position, its binary logs, its grants.
//!
//! Over a [`Connection`] like the dump's; every call is bounded by a timeout. What a server does not have (a variable
//! that a version lacks) is absent here, not an error.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::gtid::GtidSet;
use crate::mysql::connection::{Connection, Row};
use crate::mysql::dump;
use crate::mysql::grants::Grants;
use crate::mysql::refusal::server_error;
use crate::position::{Position, file_number, log_name};
use crate::retention::{Expiry, Look};
use crate::schema::types::TableName;

/// No statement here takes longer on a healthy server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const SYNTAX_ERROR: u16 = 1064;
const ACCESS_DENIED: u16 = 1227;
/// How long the lock on all tables may take to get.
const LOCK_SECONDS: u32 = 10;

/// A session for plain SQL.
#[derive(Debug)]
pub struct Source {
    connection: Connection,
    config: MysqlConfig,
}

/// What replication depends on. Variables are as the server prints them; `None` where it has no such variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// `9.7.4`, `8.0.36-28`, `10.11.8-MariaDB-log`.
    pub version: String,
    /// Whether it is MariaDB.
    pub is_mariadb: bool,
    /// Empty on servers without one (MariaDB).
    pub server_uuid: String,
    /// 0 when unset.
    pub server_id: u32,
    /// Whether the binary log is on.
    pub log_bin: bool,
    /// ROW; absent means ROW (newer servers know nothing else).
    pub binlog_format: Option<String>,
    /// FULL | MINIMAL | NOBLOB.
    pub binlog_row_image: Option<String>,
    /// FULL | MINIMAL.
    pub binlog_row_metadata: Option<String>,
    /// CRC32 | NONE.
    pub binlog_checksum: Option<String>,
    /// ON | OFF: whether InnoDB carries out foreign keys, unseen by the binary log.
    pub innodb_native_foreign_keys: Option<String>,
    /// The server's default for new sessions.
    pub sql_mode: String,
    /// The zone of sessions whose time_zone is SYSTEM.
    pub system_time_zone: String,
    /// 0 | 1 | 2: whether table names are compared by case.
    pub lower_case_table_names: u8,
    /// Whether what the server itself replicates is in its binary log.
    pub log_replica_updates: bool,
    /// `--binlog-do-db`: databases that alone are logged; empty for all, or when we may not ask.
    pub binlog_do_db: String,
    /// `--binlog-ignore-db`.
    pub binlog_ignore_db: String,
}

impl ServerFacts {
    /// Major, minor and patch number; zeros for what is not there.
    pub fn version_number(&self) -> (u16, u16, u16) {
        let mut numbers = self.version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (next(), next(), next())
    }

    /// Whether rows come without names, labels and keys.
    pub fn has_minimal_metadata(&self) -> bool {
        self.binlog_row_metadata.as_ref().is_some_and(|value| value.eq_ignore_ascii_case("MINIMAL"))
    }

    /// Whether rows that a foreign key changes by itself are in the binary log: from 9.6 on, where the SQL layer does it.
    pub fn logs_cascades(&self) -> bool {
        self.version_number() >= (9, 6, 0) && self.innodb_native_foreign_keys.as_deref() != Some("ON")
    }

    /// Whether the zone SYSTEM may have hours that come twice. What the server tells is the abbreviation of its start: GMT is
    /// also London's in winter, -03 was São Paulo's.
    pub fn may_repeat_hours(&self) -> bool {
        self.system_time_zone != "UTC"
    }

    /// Whether a session's default sql_mode lets zero and partial dates in.
    pub fn allows_zero_dates(&self) -> bool {
        let has = |mode: &str| self.sql_mode.split(',').any(|part| part == mode);
        let is_strict = has("STRICT_TRANS_TABLES") || has("STRICT_ALL_TABLES") || has("TRADITIONAL");
        !(is_strict && has("NO_ZERO_DATE") && has("NO_ZERO_IN_DATE"))
    }
}

impl Source {
    /// Connects and logs in.
    ///
    /// # Errors
    /// `SourceDown` or `SourceRefused`, with the remedy.
    pub fn connect(config: &MysqlConfig) -> Result<Self> {
        let place = config.socket.clone().unwrap_or_else(|| format!("{}:{}", config.host, config.port));
        let connection = within(&format!("connecting to MySQL at {place}"), Connection::open(config))?;
        connection.set_timeout(ANSWER_TIMEOUT)?;
        Ok(Self { connection, config: config.clone() })
    }

    /// The rows of a query; `doing` says for error texts what it is for.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn rows(&mut self, doing: &str, query: &str) -> Result<Vec<Row>> {
        within(doing, self.connection.rows(query))
    }

    /// Runs a statement that not every server knows; true when this one did.
    pub fn try_execute(&mut self, statement: &str) -> bool {
        matches!(self.connection.ask(statement), Ok(Ok(_)))
    }

    /// Everything that decides whether this server can be replicated.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn server_facts(&mut self) -> Result<ServerFacts> {
        let rows = self.rows("reading the server's variables", "SHOW GLOBAL VARIABLES")?;
        let mut variables: BTreeMap<String, String> = rows.iter().map(|row| (text(row, 0), text(row, 1))).collect();
        let mut facts = facts_of(&mut variables);
        // Only for the filters; without REPLICATION CLIENT, which the grants check names, they stay unknown.
        if let Ok(Some(status)) = binary_log_status(&mut self.connection) {
            (facts.binlog_do_db, facts.binlog_ignore_db) = (text(&status, 2), text(&status, 3));
        }
        Ok(facts)
    }

    /// The account that the server took us for, as GRANT wants it: `'bridge'@'%'`.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn account(&mut self) -> Result<String> {
        let rows = self.rows("asking for the account", "SELECT CURRENT_USER()")?;
        let account = rows.first().map(|row| text(row, 0)).unwrap_or_default();
        let (user, host) = account.rsplit_once('@').unwrap_or((&account, "%"));
        Ok(format!("'{}'@'{host}'", user.replace('\'', "''")))
    }

    /// What the account may do, roles that are active by default included.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn grants(&mut self) -> Result<Grants> {
        let rows = self.rows("reading the account's grants", "SHOW GRANTS")?;
        Ok(Grants::parse(rows.iter().map(|row| text(row, 0))))
    }

    /// The present position: a place in the log from which everything later is streamed.
    ///
    /// With GTID the file is read first and the set after it, so the set decides and the file never runs ahead of it.
    /// `for_snapshot`: a SELECT that starts now must have seen everything before it. With GTID the SELECT waits for the set;
    /// the end of the log alone runs ahead of what it would see.
    ///
    /// # Errors
    /// When a privilege is missing (the text has the GRANT), the log is off, or the server is away.
    pub fn current_position(&mut self, for_snapshot: bool) -> Result<Position> {
        let uses_gtid = self.variable("gtid_mode")? == "ON";
        let (file, offset) = if for_snapshot && !uses_gtid { self.seen_position()? } else { self.end_of_log()? };
        let gtid_set = match uses_gtid {
            true => Some(GtidSet::parse(&self.variable("gtid_executed")?)?),
            false => None,
        };
        let server_uuid = self.variable("server_uuid")?;
        let file_timestamp = dump::file_timestamp(&self.config, &file)?;
        Ok(Position { file, offset, gtid_set, server_uuid, file_timestamp, ..Position::default() })
    }

    /// The position that somebody names: only file and offset resume there, because the set before it is not known.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn position_at(&mut self, file: &str, offset: u64) -> Result<Position> {
        let server_uuid = self.variable("server_uuid")?;
        let file_timestamp = dump::file_timestamp(&self.config, file)?;
        Ok(Position { file: file.to_owned(), offset, server_uuid, file_timestamp, ..Position::default() })
    }

    /// Names and sizes in bytes of the binary log files, oldest first.
    ///
    /// # Errors
    /// When a privilege is missing, the log is off, or the server is away.
    pub fn binary_logs(&mut self) -> Result<Vec<(String, u64)>> {
        let rows = self.rows("listing the binary logs", "SHOW BINARY LOGS")?;
        Ok(rows.iter().map(|row| (text(row, 0), number(row, 1))).collect())
    }

    /// What decides how long the binary logs are kept, with the names and sizes that they have, at this time.
    ///
    /// # Errors
    /// As [`Source::binary_logs`].
    pub fn kept_logs(&mut self) -> Result<Look> {
        let doing = "asking how long binary logs are kept";
        let names = Expiry::VARIABLES.map(|name| format!("'{name}'")).join(", ");
        let rows = self.rows(doing, &format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})"))?;
        let expiry = Expiry::of(&rows.iter().map(|row| (text(row, 0), text(row, 1))).collect());
        let files = self.binary_logs()?;
        let now = self.rows(doing, "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)")?;
        Ok(Look { files, expiry, now_us: now.first().map(|row| number(row, 0)).unwrap_or_default() })
    }

    /// The server ids of the replicas that are connected.
    ///
    /// # Errors
    /// When REPLICATION SLAVE is missing, or the server is away.
    pub fn replica_server_ids(&mut self) -> Result<BTreeSet<u32>> {
        let doing = "listing the replicas";
        let rows = match within(doing, self.connection.ask("SHOW REPLICAS"))? {
            Ok(rows) => rows,
            // Before 8.0.22 the statement has its old name.
            Err((SYNTAX_ERROR, _)) => self.rows(doing, "SHOW SLAVE HOSTS")?,
            Err((code, message)) => within(doing, Err(server_error(code, &message)))?,
        };
        Ok(rows.iter().filter_map(|row| u32::try_from(number(row, 0)).ok()).collect())
    }

    /// The replica id of a pipeline: as configured, or derived from its name, and then one that neither the server nor any
    /// of its replicas has. The server tells replicas apart by another number; people do by this one.
    ///
    /// # Errors
    /// As [`Source::replica_server_ids`].
    pub fn free_server_id(&mut self, config: &MysqlConfig, pipeline: &str, own: u32) -> Result<u32> {
        let mut taken = self.replica_server_ids()?;
        taken.insert(own);
        let wanted = config.server_id_for(pipeline);
        if config.server_id != 0 {
            if taken.contains(&wanted) {
                log::warn!("mysql.server_id = {wanted} is the source's own, or another replica's (SHOW REPLICAS)");
            }
            return Ok(wanted);
        }
        let mut candidates = (0_u32..1 << 16).map(|step| wanted.wrapping_add(step));
        Ok(candidates.find(|id| *id != 0 && !taken.contains(id)).unwrap_or(wanted))
    }

    /// Why the server's binary log is not the one that this position of the same server is in; `None` when it is, or when
    /// its file was purged. GTIDs do not tell: a server that was reset or restored, or lost the tail of its log in a crash,
    /// gives the same ones again to other transactions. But each of its starts begins a file: so the position's file is then
    /// gone, or shorter, or was created at another time. `logs` are those of [`Source::binary_logs`].
    ///
    /// # Errors
    /// When a privilege is missing, or the server is away.
    pub fn other_log(&self, position: &Position, logs: &[(String, u64)]) -> Result<Option<String>> {
        let Position { file, offset, file_timestamp, .. } = position;
        if let Some((newest, _)) = logs.last().filter(|(newest, _)| log_name(newest) != log_name(file)) {
            return Ok(Some(format!(
                "the source's binary log is called otherwise now: {newest}, the checkpoint is in {file}"
            )));
        }
        let Some((_, size)) = logs.iter().find(|(name, _)| name == file) else {
            let (newest, ours) = (logs.last().and_then(|(name, _)| file_number(name).ok()), file_number(file)?);
            return Ok(newest.filter(|newest| *newest < ours).map(|newest| {
                format!("the source's binary log ends with file number {newest}, the checkpoint is in {file}")
            }));
        };
        if size < offset {
            return Ok(Some(format!("{file} has {size} bytes, the checkpoint is at {offset}")));
        }
        let is_known = *file_timestamp != 0;
        let created = match u32::try_from(*offset) {
            Ok(offset) if is_known => dump::file_timestamp_at(&self.config, file, offset),
            Err(_) if is_known => dump::file_timestamp(&self.config, file),
            Ok(_) | Err(_) => Ok(0),
        };
        Ok(match created {
            Ok(created) if created == *file_timestamp => None,
            Ok(created) => {
                Some(format!("{file} was created at {created}, the checkpoint knows it as created at {file_timestamp}"))
            }
            Err(error) if error.kind == ErrorKind::LostPosition => {
                Some(format!("the checkpoint is at {file}:{offset}, where no event begins: {}", error.text))
            }
            Err(error) => return Err(error),
        })
    }

    /// Which of the transactions after this set the server no longer has, or which of the set it never had; `None` when
    /// a dump after the set lacks nothing.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn lost_gtids(&mut self, set: &GtidSet) -> Result<Option<String>> {
        let query = format!(
            "SELECT GTID_SUBTRACT(@@GLOBAL.gtid_purged, '{set}'), GTID_SUBTRACT('{set}', @@GLOBAL.gtid_executed)"
        );
        let row = self.rows("asking for transactions that are gone", &query)?.into_iter().next().unwrap_or_default();
        let (purged, unknown) = (text(&row, 0), text(&row, 1));
        Ok(match () {
            () if !purged.is_empty() => Some(format!("the source has purged the transactions {purged}")),
            () if !unknown.is_empty() => Some(format!("the source does not have the transactions {unknown} any more")),
            () => None,
        })
    }

    /// The xids of the transactions that are prepared, as the binary log writes them; none when we may not ask
    /// (XA_RECOVER_ADMIN).
    ///
    /// # Errors
    /// When the server is away.
    pub fn prepared_xids(&mut self) -> Result<Vec<String>> {
        let rows = within("asking for prepared transactions", self.connection.ask("XA RECOVER CONVERT XID"))?;
        Ok(rows.unwrap_or_default().iter().filter_map(xid).collect())
    }

    /// Whether the table has at least one row.
    ///
    /// # Errors
    /// When SELECT is missing on it, or the server is away.
    pub fn has_rows(&mut self, table: &TableName) -> Result<bool> {
        let query = format!("SELECT 1 FROM {} LIMIT 1", quoted(table));
        Ok(!self.rows(&format!("looking into {table}"), &query)?.is_empty())
    }

    /// A system variable, empty when it is NULL or unknown.
    fn variable(&mut self, name: &str) -> Result<String> {
        let query = format!("SHOW GLOBAL VARIABLES LIKE '{name}'");
        let rows = self.rows(&format!("reading @@{name}"), &query)?;
        Ok(rows.first().map(|row| text(row, 1)).unwrap_or_default())
    }

    /// File and offset up to which the server has written: a position beyond it is from before a RESET or a restore.
    ///
    /// # Errors
    /// When a privilege is missing, the log is off, or the server is away.
    pub fn end_of_log(&mut self) -> Result<(String, u64)> {
        end_of_log(&mut self.connection)
    }

    /// A position that a SELECT starting now has certainly seen, without GTID: from `performance_schema.log_status`, or
    /// noted while nobody may commit.
    ///
    /// # Errors
    /// When a privilege is missing (the text has the GRANT), the log is off, or the server is away.
    pub fn seen_position(&mut self) -> Result<(String, u64)> {
        let refusal = match self.log_status() {
            Err(error) if error.kind == ErrorKind::SourceRefused => error,
            position => return position,
        };
        let remedy = "turn GTID on (gtid_mode=ON), or GRANT BACKUP_ADMIN ON *.* and GRANT SELECT ON performance_schema.log_status, \
                      or GRANT RELOAD ON *.* TO this account";
        let refused = || refusal.clone().with_text(format!("{}; {remedy}", refusal.text));
        self.end_of_log_under_lock()?.ok_or_else(refused)
    }

    fn log_status(&mut self) -> Result<(String, u64)> {
        let query =
            "SELECT LOCAL->>'$.binary_log_file', LOCAL->>'$.binary_log_position' FROM performance_schema.log_status";
        let rows = self.rows("finding a position for the copy without GTID", query)?;
        let position = rows.first().map(|row| (text(row, 0), number(row, 1)));
        position.ok_or_else(|| {
            Error::new(ErrorKind::SourceRefused, "performance_schema.log_status is empty: is the binary log on?")
        })
    }

    /// The lock is granted when every commit under way has ended, and given back at once; `None` without RELOAD.
    fn end_of_log_under_lock(&mut self) -> Result<Option<(String, u64)>> {
        let doing = "locking all tables for an instant";
        // Whoever waits for this lock holds up all writers.
        within(doing, self.connection.execute(&format!("SET lock_wait_timeout = {LOCK_SECONDS}")))?;
        match within(doing, self.connection.ask("FLUSH TABLES WITH READ LOCK"))? {
            Ok(_) => {}
            Err((ACCESS_DENIED, _)) => return Ok(None),
            Err((code, message)) => within(doing, Err(server_error(code, &message)))?,
        }
        let position = self.end_of_log();
        within(doing, self.connection.execute("UNLOCK TABLES"))?;
        position.map(Some)
    }
}

/// `X'gtrid',X'bqual',format` of a row of XA RECOVER: the format, the lengths of the two parts, both as 0x...
fn xid(row: &Row) -> Option<String> {
    let hex = text(row, 3).strip_prefix("0x")?.to_ascii_lowercase();
    let (gtrid, bqual) = hex.split_at_checked(2 * usize::try_from(number(row, 1)).ok()?)?;
    Some(format!("X'{gtrid}',X'{bqual}',{}", text(row, 0)))
}

/// As [`Source::end_of_log`], over a connection that is there already.
///
/// # Errors
/// As there.
pub fn end_of_log(connection: &mut Connection) -> Result<(String, u64)> {
    let status = binary_log_status(connection)?.ok_or_else(|| {
        Error::new(ErrorKind::SourceRefused, "the binary log is off: start the server with --log-bin")
    })?;
    Ok((text(&status, 0), number(&status, 1)))
}

/// File, offset, and the two database filters; `None` when the log is off.
fn binary_log_status(connection: &mut Connection) -> Result<Option<Row>> {
    let doing = "reading the end of the binary log";
    let rows = match within(doing, connection.ask("SHOW BINARY LOG STATUS"))? {
        Ok(rows) => rows,
        // Before 8.2 the statement has its old name.
        Err((SYNTAX_ERROR, _)) => within(doing, connection.rows("SHOW MASTER STATUS"))?,
        Err((code, message)) => within(doing, Err(server_error(code, &message)))?,
    };
    Ok(rows.into_iter().next())
}

/// The same result; an error also says what was being done.
fn within<T>(doing: &str, result: Result<T>) -> Result<T> {
    result.map_err(|error| {
        let text = format!("{doing}: {}", error.text);
        error.with_text(text)
    })
}

fn facts_of(variables: &mut BTreeMap<String, String>) -> ServerFacts {
    let mut take = |name: &str| variables.remove(name);
    let version = take("version").unwrap_or_default();
    let comment = take("version_comment").unwrap_or_default();
    let updates = take("log_replica_updates").or_else(|| take("log_slave_updates"));
    ServerFacts {
        is_mariadb: version.contains("MariaDB") || comment.to_lowercase().contains("mariadb"),
        version,
        server_uuid: take("server_uuid").unwrap_or_default(),
        server_id: take("server_id").and_then(|id| id.parse().ok()).unwrap_or_default(),
        log_bin: take("log_bin").is_some_and(|value| value == "ON"),
        innodb_native_foreign_keys: take("innodb_native_foreign_keys"),
        binlog_format: take("binlog_format"),
        binlog_row_image: take("binlog_row_image"),
        binlog_row_metadata: take("binlog_row_metadata"),
        binlog_checksum: take("binlog_checksum"),
        sql_mode: take("sql_mode").unwrap_or_default(),
        system_time_zone: take("system_time_zone").unwrap_or_default(),
        lower_case_table_names: take("lower_case_table_names").and_then(|value| value.parse().ok()).unwrap_or_default(),
        log_replica_updates: updates.is_none_or(|value| value == "ON"),
        binlog_do_db: String::new(),
        binlog_ignore_db: String::new(),
    }
}

/// A column's value as text; empty for NULL and for a column that is not there.
pub fn text(row: &Row, column: usize) -> String {
    optional_text(row, column).unwrap_or_default()
}

/// A column's value as text; `None` for NULL.
pub fn optional_text(row: &Row, column: usize) -> Option<String> {
    row.get(column).cloned().flatten()
}

/// A column's value as a number; 0 for NULL and for what is none.
pub fn number(row: &Row, column: usize) -> u64 {
    text(row, column).parse().unwrap_or(0)
}

/// `` `database`.`table` ``.
pub fn quoted(table: &TableName) -> String {
    format!("{}.{}", quoted_name(&table.database), quoted_name(&table.table))
}

/// An identifier in backquotes.
pub fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_utc_surely_has_each_hour_once() {
        for (zone, expected) in [("UTC", false), ("GMT", true), ("CET", true), ("-03", true), ("", true)] {
            let facts = ServerFacts { system_time_zone: zone.to_owned(), ..ServerFacts::default() };
            assert_eq!(facts.may_repeat_hours(), expected, "{zone:?}");
        }
    }

    #[test]
    fn versions_are_numbers() {
        for (version, expected) in
            [("9.7.4-2", (9, 7, 4)), ("8.0.36-28.1", (8, 0, 36)), ("5.7", (5, 7, 0)), ("x", (0, 0, 0))]
        {
            assert_eq!(
                ServerFacts { version: version.to_owned(), ..ServerFacts::default() }.version_number(),
                expected
            );
        }
    }

    #[test]
    fn zero_dates_need_a_lax_mode() {
        let check =
            |mode: &str| ServerFacts { sql_mode: mode.to_owned(), ..ServerFacts::default() }.allows_zero_dates();
        assert!(!check("STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE"));
        assert!(check("NO_ZERO_IN_DATE,NO_ZERO_DATE"), "only a warning without strict mode");
        assert!(check("STRICT_TRANS_TABLES,NO_ZERO_DATE"));
    }
}
