//! What MySQL's error codes mean for replication, and what is done about each.
//!
//! An unknown code stops: it is never taken for an outage. No IO.

use crate::error::{Error, ErrorKind};

const RUN_PRIVILEGES: &str = "run conf/mysql-privileges.sql for this account (GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.*; GRANT SELECT ON the replicated databases)";

/// The server's error as ours: the kind decides whether it is tried again, the text names the remedy.
pub fn server_error(code: u16, message: &str) -> Error {
    use ErrorKind::{LostPosition, SourceDown, SourceRefused};
    let (kind, remedy) = match code {
        1045 | 1698 => (
            SourceRefused,
            "wrong user or password: check mysql.user and mysql.password; an account with REQUIRE SSL or X509 also needs mysql.tls, or mysql.tls_cert and mysql.tls_key",
        ),
        1044 | 1142 | 1143 | 1227 | 1370 => return missing_privilege(code, message),
        1130 => {
            (SourceRefused, "this account may not log in from here: CREATE USER .. @'%' (or this machine's address)")
        }
        1129 => (SourceRefused, "run on the server: TRUNCATE TABLE performance_schema.host_cache"),
        1820 | 1862 | 3118 => {
            (SourceRefused, "the account is expired or locked: ALTER USER .. PASSWORD EXPIRE NEVER ACCOUNT UNLOCK")
        }
        3159 => (
            SourceRefused,
            "the server takes encrypted connections only (require_secure_transport): write mysql.tls = \"required\" or stricter, or use mysql.socket",
        ),
        1789 => (LostPosition, PURGED),
        1236 => return dump_error(message),
        // Too many connections; shutdown; network; killed; offline mode: an outage, it ends.
        1040 | 1053 | 1077..=1081 | 1152..=1161 | 1184 | 1203 | 1205 | 1226 | 1317 | 1927 | 3032 | 3058 | 3169 => {
            (SourceDown, "tried again")
        }
        _ => (SourceRefused, "not an error that goes away by itself"),
    };
    Error::new(kind, format!("MySQL says {code}: {message} ({remedy})"))
}

/// A refusal for want of a privilege.
pub fn missing_privilege(code: u16, message: &str) -> Error {
    Error::new(ErrorKind::SourceRefused, format!("MySQL says {code}: {message} ({RUN_PRIVILEGES})"))
}

const PURGED: &str = "the source no longer has the binary log from our position on: the tables must be copied again (mysql.on_lost_position), and binlog_expire_logs_seconds be longer than the longest outage";
const WRONG_PLACE: &str = "the saved position lies inside an event or beyond the file: it was made on another server, or the source was reset or restored; the tables must be copied again (mysql.on_lost_position)";
const RESET: &str = "binary log files vanished while they were read (RESET, files deleted by hand, or a failing disk): the tables must be copied again (mysql.on_lost_position)";
const AHEAD: &str = "the source has lost transactions that were already replicated (a crash or a restore): decide which side is right; the tables must be copied again to follow this source";
const SECOND: &str =
    "another replica with our uuid reads from this server: a second copy of this pipeline runs; end one of them";

/// Error 1236, the dump thread's only code: its text decides.
fn dump_error(message: &str) -> Error {
    use ErrorKind::{LostPosition, SecondCopy, SourceDown, SourceRefused};
    const TEXTS: [(&str, ErrorKind, &str); 19] = [
        ("could not find first log file", LostPosition, PURGED),
        ("purged required binary logs", LostPosition, PURGED),
        ("purged binary logs containing gtids", LostPosition, PURGED),
        ("could not find next log", LostPosition, RESET),
        ("i/o error reading log event", LostPosition, RESET),
        ("> file size", LostPosition, WRONG_PLACE),
        ("impossible position", LostPosition, WRONG_PLACE),
        ("truncated in the middle of event", LostPosition, WRONG_PLACE),
        ("bogus data in log event", LostPosition, WRONG_PLACE),
        ("event read from binlog did not pass", LostPosition, WRONG_PLACE),
        ("exceeded max_allowed_packet", LostPosition, WRONG_PLACE),
        ("more gtids than", LostPosition, AHEAD),
        ("same server_uuid", SecondCopy, SECOND),
        ("same server_id", SecondCopy, SECOND),
        ("gtid_mode", SourceRefused, "GTID was turned off on the source: turn it on again, or start anew without it"),
        ("binary log is not open", SourceRefused, "the binary log is off: start the server with --log-bin"),
        ("server id", SourceRefused, "give the source a server_id: SET PERSIST server_id=1"),
        ("failed on my_net_write", SourceDown, "tried again"),
        ("memory allocation failed", SourceDown, "tried again"),
    ];
    let lower = message.to_lowercase();
    let found = TEXTS.iter().find(|(text, ..)| lower.contains(text));
    let (kind, remedy) =
        found.map_or((SourceRefused, "not an error that goes away by itself"), |(_, kind, remedy)| (*kind, *remedy));
    Error::new(kind, format!("MySQL ended the binary log dump: {message} ({remedy})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, message: &str, kind: ErrorKind, word: &str) {
        let error = server_error(code, message);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.text.contains(word) && error.text.contains(message), "{error}");
    }

    #[test]
    fn every_refusal_has_its_action() {
        check(1045, "Access denied for user 'x'@'y'", ErrorKind::SourceRefused, "mysql.password");
        check(1227, "Access denied; you need REPLICATION SLAVE", ErrorKind::SourceRefused, "GRANT");
        check(1053, "Server shutdown in progress", ErrorKind::SourceDown, "again");
        check(3159, "Connections using insecure transport are prohibited", ErrorKind::SourceRefused, "mysql.tls");
        check(4711, "who knows", ErrorKind::SourceRefused, "who knows");
    }

    #[test]
    fn every_text_of_1236_has_its_action() {
        use ErrorKind::{LostPosition, SecondCopy};
        for (text, kind, word) in [
            ("Could not find first log file name in binary log index file", LostPosition, "copied again"),
            (
                "Cannot replicate because the source purged required binary logs. Replicate",
                LostPosition,
                "copied again",
            ),
            ("could not find next log; the first event 'binlog.000001' at 4", LostPosition, "RESET"),
            ("I/O error reading log event; the first event '' at 4", LostPosition, "RESET"),
            ("Client requested source to start replication from position > file size", LostPosition, "another server"),
            (
                "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source",
                LostPosition,
                "inside an event",
            ),
            (
                "A replica with the same server_uuid/server_id as this replica has connected to the source",
                SecondCopy,
                "second copy",
            ),
            (
                "Replica has more GTIDs than the source has, using the source's SERVER_UUID",
                LostPosition,
                "lost transactions",
            ),
        ] {
            check(1236, text, kind, word);
        }
    }
}
