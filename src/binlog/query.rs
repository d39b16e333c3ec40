//! QUERY events: what a statement's text is, and what kind of statement.
//!
//! The status variables before the text have no lengths of their own, so an unknown code ends their parsing; the text's
//! place does not depend on them. They are parsed only on demand: most QUERY events are a `BEGIN`.

use super::cursor::{Cursor, utf8};
use super::event::{Event, EventKind};
use crate::error::Result;
use crate::schema::charset::{Charset, Use};
use std::borrow::Cow;

/// File id, where in the text its name stands, and what becomes of duplicates.
const LOAD_HEADER_BYTES: usize = 13;

/// LOG_EVENT_THREAD_SPECIFIC_F.
const THREAD_SPECIFIC: u16 = 4;

/// More databases than this the server does not name.
const DATABASES_MAX: u8 = 16;

/// A statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    database: &'a [u8],
    /// The text in the client's character set.
    pub sql: &'a [u8],
    /// Error the statement ended with; 0 for none.
    pub error_code: u16,
    /// Whether it used a TEMPORARY table of its session, which may have the name of another table.
    pub uses_temporary: bool,
    status: &'a [u8],
}

/// The status variables that decide how a text is read, and what it may have changed beyond it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatementContext {
    /// `@@sql_mode`; 0 when not told.
    pub sql_mode: u64,
    /// `@@time_zone`; told of statements that needed it: of an ALTER, when it made the rows of a TIMESTAMP anew.
    pub time_zone: Option<String>,
    /// Collation id of `@@character_set_client`.
    pub client_collation: Option<u16>,
    /// The databases of the tables that it used, also through views, triggers and routines; `None` when the server does not
    /// tell: there are too many, or foreign keys lead to others.
    pub databases: Option<Vec<String>>,
    /// Whether `explicit_defaults_for_timestamp` was off, which makes TIMESTAMP columns NOT NULL that do not say NULL; told of
    /// statements that write such a column.
    pub has_implicit_timestamps: bool,
}

impl<'a> Query<'a> {
    /// Parses the body of QUERY, or of EXECUTE_LOAD_QUERY, which has a longer front.
    ///
    /// # Errors
    /// When it is truncated.
    pub fn parse(event: &Event<'a>) -> Result<Self> {
        let mut body = Cursor::new(event.body);
        let _thread_id_and_seconds = body.u64()?;
        let database_bytes = body.u8()?;
        let error_code = body.u16()?;
        let status_bytes = body.u16()?;
        if event.header.kind == EventKind::ExecuteLoadQuery {
            let _file_to_load = body.bytes(LOAD_HEADER_BYTES)?;
        }
        let status = body.bytes(usize::from(status_bytes))?;
        let database = body.bytes(usize::from(database_bytes))?;
        let _zero = body.u8()?;
        let uses_temporary = event.header.flags() & THREAD_SPECIFIC != 0;
        Ok(Self { database, sql: body.rest(), error_code, uses_temporary, status })
    }

    /// The default database; of CREATE, ALTER and DROP DATABASE the named one.
    ///
    /// # Errors
    /// When its name is not UTF-8.
    pub fn database(&self) -> Result<&'a str> {
        utf8(self.database, "the database of a QUERY event")
    }

    /// What kind of statement the text is.
    pub fn kind(&self) -> QueryKind {
        QueryKind::of(self.sql)
    }

    /// What the status variables tell.
    pub fn context(&self) -> StatementContext {
        let mut context = StatementContext::default();
        // Best effort by design: what cannot be read ends the variables, never the event.
        let _ = read_status(Cursor::new(self.status), &mut context);
        context
    }

    /// The xid of an XA statement as the server writes it, `X'..',X'..',1`: everything from the X at its first quote.
    pub fn xid(&self) -> String {
        let text = self.text();
        let start = text.find('\'').and_then(|quote| quote.checked_sub(1));
        start.and_then(|start| text.get(start..)).unwrap_or_default().trim().to_owned()
    }

    /// The text in UTF-8. Characters that this version cannot decode become U+FFFD, each as a whole, so that the rest
    /// is read as the server read it: in gbk and its like a character's second byte may look like a quote or a backslash.
    pub fn text(&self) -> Cow<'a, str> {
        // An unknown one is of a later server; the latest ones are all utf8mb4.
        let client = self.context().client_collation.and_then(|id| Charset::of_collation(u64::from(id)));
        let charset = client.unwrap_or(Charset::Utf8);
        if charset == Charset::Swe7 {
            return Cow::Owned(swe7(self.sql));
        }
        if self.sql.is_ascii() || charset.is_utf8() || charset == Charset::Binary {
            return String::from_utf8_lossy(self.sql);
        }
        // As if for a key: what is a quote or backslash by another code is none for the server's parser.
        Cow::Owned(charset.text(self.sql, Use::Key).unwrap_or_else(|_| blotted_out(self.sql, charset)))
    }
}

/// Where swe7 has letters for signs of ASCII, they are U+FFFD: the server's parser takes them for the one or the other.
/// Backquotes are quotes.
fn swe7(bytes: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii() && !matches!(byte, b'@' | b'['..=b'^' | b'{'..=0x7f);
    let char = |&byte: &u8| if is_plain(byte) { char::from(byte) } else { char::REPLACEMENT_CHARACTER };
    bytes.iter().map(char).collect()
}

/// A text that is none in its character set, as far as it can be told.
fn blotted_out(bytes: &[u8], charset: Charset) -> String {
    let is_japanese = matches!(charset, Charset::Sjis | Charset::Cp932);
    let has_pairs = is_japanese || matches!(charset, Charset::Gbk | Charset::Big5 | Charset::Gb18030);
    let is_lead = |lead: u8| has_pairs && !(is_japanese && (0xa1..=0xdf).contains(&lead));
    blot_out(bytes, is_lead)
}

/// The ASCII of a text; everything else as U+FFFD, together with the byte after it where `is_lead` says that a pair
/// begins and that byte can be the second of one, though it looks like ASCII.
fn blot_out(bytes: &[u8], is_lead: impl Fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes.iter().peekable();
    while let Some(&byte) = rest.next() {
        if byte.is_ascii() {
            text.push(char::from(byte));
            continue;
        }
        text.push(char::REPLACEMENT_CHARACTER);
        if is_lead(byte) {
            // Digits: gb18030's characters of four bytes.
            rest.next_if(|&&second| second >= 0x40 || second.is_ascii_digit());
        }
    }
    text
}

/// Reads the variables up to the last one wanted, or to one of a later server.
fn read_status(mut status: Cursor<'_>, context: &mut StatementContext) -> Result<()> {
    while !status.is_empty() {
        match status.u8()? {
            // Q_SQL_MODE
            1 => context.sql_mode = status.u64()?,
            // Q_CHARSET: client, connection, server.
            4 => {
                context.client_collation = Some(status.u16()?);
                status.u32()?;
            }
            // Q_FLAGS2, Q_AUTO_INCREMENT
            0 | 3 => {
                status.u32()?;
            }
            // Q_CATALOG, with a closing zero
            2 => {
                let length = status.u8()?;
                status.bytes(usize::from(length) + 1)?;
            }
            // Q_TIME_ZONE
            5 => {
                let length = status.u8()?;
                context.time_zone = Some(String::from_utf8_lossy(status.bytes(usize::from(length))?).into_owned());
            }
            // Q_CATALOG_NZ
            6 => {
                let length = status.u8()?;
                status.bytes(usize::from(length))?;
            }
            // Q_LC_TIME_NAMES, Q_CHARSET_DATABASE
            7 | 8 => {
                status.u16()?;
            }
            // Q_TABLE_MAP_FOR_UPDATE
            9 => {
                status.u64()?;
            }
            // Q_INVOKER: user and host
            11 => {
                for _ in 0..2 {
                    let length = status.u8()?;
                    status.bytes(usize::from(length))?;
                }
            }
            // Q_UPDATED_DB_NAMES
            12 => context.databases = databases(&mut status)?,
            // Q_MICROSECONDS
            13 => {
                status.bytes(3)?;
            }
            // Q_EXPLICIT_DEFAULTS_FOR_TIMESTAMP
            16 => {
                context.has_implicit_timestamps = status.u8()? == 0;
                return Ok(());
            }
            // MySQL writes all others behind these.
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Their number, then each with a closing zero; a number beyond [`DATABASES_MAX`] says that they are not told.
fn databases(status: &mut Cursor<'_>) -> Result<Option<Vec<String>>> {
    let count = status.u8()?;
    if count > DATABASES_MAX {
        return Ok(None);
    }
    let mut names = Vec::new();
    for _ in 0..count {
        let mut name = Vec::new();
        loop {
            match status.u8()? {
                0 => break,
                byte => name.push(byte),
            }
        }
        names.push(String::from_utf8_lossy(&name).into_owned());
    }
    Ok(Some(names))
}

/// What a statement does to the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// BEGIN.
    Begin,
    /// COMMIT: of tables without transactions.
    Commit,
    /// ROLLBACK.
    Rollback,
    /// SAVEPOINT, ROLLBACK TO, RELEASE SAVEPOINT.
    Savepoint,
    /// XA START.
    XaStart,
    /// XA END.
    XaEnd,
    /// XA COMMIT.
    XaCommit,
    /// XA ROLLBACK.
    XaRollback,
    /// DDL when outside a group, statement-format DML (or CREATE .. START TRANSACTION) inside.
    Other,
}

impl QueryKind {
    /// The kind of the statement `sql`.
    pub fn of(sql: &[u8]) -> Self {
        if sql == b"BEGIN" {
            return Self::Begin;
        }
        let mut words = Words { rest: sql };
        let first = words.next().unwrap_or_default();
        if is(first, "BEGIN") {
            Self::Begin
        } else if is(first, "COMMIT") {
            Self::Commit
        } else if is(first, "ROLLBACK") {
            if words.take(2).any(|word| is(word, "TO")) { Self::Savepoint } else { Self::Rollback }
        } else if is(first, "SAVEPOINT") || is(first, "RELEASE") {
            Self::Savepoint
        } else if is(first, "XA") {
            Self::of_xa(words.next().unwrap_or_default())
        } else {
            Self::Other
        }
    }

    fn of_xa(second: &[u8]) -> Self {
        if is(second, "START") || is(second, "BEGIN") {
            Self::XaStart
        } else if is(second, "END") {
            Self::XaEnd
        } else if is(second, "COMMIT") {
            Self::XaCommit
        } else if is(second, "ROLLBACK") {
            Self::XaRollback
        } else {
            Self::Other
        }
    }
}

fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

/// The letters-only words of a text until the first other character that is no blank and no comment.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = skip_blanks_and_comments(self.rest);
        let end = start.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(start.len());
        let (word, rest) = start.split_at_checked(end)?;
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}

fn skip_blanks_and_comments(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        let end = match text {
            // Code for servers that are new enough, and the server that wrote this was.
            [b'/', b'*', b'!', ..] => Some(3 + text.iter().skip(3).take_while(|byte| byte.is_ascii_digit()).count()),
            [b'/', b'*', rest @ ..] => rest.windows(2).position(|pair| pair == b"*/").map(|at| at + 4),
            [b'*', b'/', ..] => Some(2),
            [b'#', ..] | [b'-', b'-', ..] => text.iter().position(|&byte| byte == b'\n'),
            _ => return text,
        };
        text = end.and_then(|end| text.get(end..)).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::samples::{self, parse};

    #[test]
    fn statements_of_9_7() {
        let begin = parse(samples::QUERY_BEGIN);
        let begin = Query::parse(&begin).unwrap();
        assert_eq!((begin.database().unwrap(), begin.sql, begin.error_code), ("part_binlog", &b"BEGIN"[..], 0));
        assert_eq!((begin.context().sql_mode, begin.context().client_collation), (0x45a0_0020, Some(255)));
        let alter = parse(samples::QUERY_ANSI);
        let alter = Query::parse(&alter).unwrap();
        assert_eq!(alter.text(), "alter table \"pk_order\" add e int");
        assert_eq!(alter.context().sql_mode, 0x10_0004, "ANSI_QUOTES, NO_BACKSLASH_ESCAPES");
        let insert = parse(samples::QUERY_STATEMENT_DML);
        let insert = Query::parse(&insert).unwrap();
        assert_eq!(insert.text(), "insert into part values (500,1)");
        assert_eq!(insert.context().databases, Some(vec!["part_binlog".to_owned()]));
    }

    #[test]
    fn an_xid_is_what_stands_behind_the_statement() {
        for sql in ["XA START X'61',X'',1", "XA COMMIT X'61',X'',1 "] {
            assert_eq!(query(&[], sql.as_bytes()).xid(), "X'61',X'',1");
        }
        assert_eq!((query(&[], b"XA END").xid(), query(&[], b"'").xid()), (String::new(), String::new()));
    }

    /// A QUERY event's parts with these status variables.
    fn query<'a>(status: &'a [u8], sql: &'a [u8]) -> Query<'a> {
        Query { database: &[], sql, error_code: 0, uses_temporary: false, status }
    }

    #[test]
    fn unknown_status_variables_end_the_list_and_no_more() {
        let check = |status: &[u8], sql_mode, client_collation| {
            let context = query(status, b"").context();
            assert_eq!((context.sql_mode, context.client_collation), (sql_mode, client_collation), "{status:?}");
        };
        check(&[], 0, None);
        check(&[0, 9, 9, 9, 9, 1, 4, 0, 0, 0, 0, 0, 0, 0, 99, 4, 8, 0], 4, None);
        check(&[2, 1, 65, 0, 3, 1, 0, 1, 0, 5, 1, 65, 4, 28, 0, 28, 0, 28, 0], 0, Some(28));
        check(&[6, 200, 4], 0, None);
    }

    #[test]
    fn databases_are_told_unless_there_are_too_many() {
        let check = |status: &[u8], expected: Option<&[&str]>| {
            let expected = expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            assert_eq!(query(status, b"").context().databases, expected, "{status:?}");
        };
        check(&[7, 1, 0, 8, 1, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 12, 2, b'a', 0, b'b', b'c', 0], Some(&["a", "bc"]));
        check(&[11, 1, b'u', 2, b'h', b'h', 12, 1, b'a', 0, 13, 0, 0, 0], Some(&["a"]));
        check(&[12, 254], None);
        check(&[12, 1, b'a'], None);
        check(&[17, 0, 0, 0, 12, 1, b'a', 0], None);
    }

    #[test]
    fn the_time_zone_is_told_where_it_counts() {
        assert_eq!(query(&[5, 3, b'U', b'T', b'C'], b"").context().time_zone.as_deref(), Some("UTC"));
        assert_eq!(query(&[5, 3, b'U'], b"").context().time_zone, None);
        assert_eq!(query(&[6, 1, b'x'], b"").context().time_zone, None);
    }

    #[test]
    fn timestamps_may_be_implicit() {
        let check =
            |status: &[u8], expected| assert_eq!(query(status, b"").context().has_implicit_timestamps, expected);
        check(&[12, 1, b'a', 0, 13, 9, 9, 9, 16, 0, 17], true);
        check(&[12, 254, 16, 0], true);
        check(&[12, 1, b'a', 0, 16, 1], false);
        check(&[12, 1, b'a', 0], false);
        check(&[16], false);
    }

    #[test]
    fn text_is_decoded_from_the_clients_character_set() {
        let check = |collation: u8, sql: &[u8], expected: &str| {
            assert_eq!(query(&[4, collation, 0, 0, 0, 0, 0], sql).text(), expected)
        };
        check(45, "é".as_bytes(), "é");
        check(8, b"\xe9\x80", "é€");
        check(8, b"plain", "plain");
        check(28, b"'\x81\x5c' \xd6\xd0x", "'乗' 中x");
        check(28, b"'\x81\x5c' \xff\x40x", "'\u{fffd}' \u{fffd}x");
        check(28, b"'\x81'", "'\u{fffd}'");
        check(13, b"'\xb1\x5c'\x81\x5c", "'ｱ\\'―");
        check(13, b"'\xb1\x81\x5f'", "'\u{fffd}\u{fffd}'");
        check(57, b"\xe9'", "é'");
        check(57, b"\x8a'", "\u{fffd}'");
        check(10, b"'a[b'", "'a\u{fffd}b'");
        check(45, b"\xff'", "\u{fffd}'");
        assert_eq!(query(&[], "é".as_bytes()).text(), "é");
    }

    #[test]
    fn kinds_of_statements() {
        let check = |expected, texts: &[&str]| {
            for text in texts {
                assert_eq!(QueryKind::of(text.as_bytes()), expected, "{text}");
            }
        };
        check(
            QueryKind::Begin,
            &["BEGIN", "begin", " /* x */ Begin /* y */", "-- c\nBEGIN", "#\nbegin", "/*!50000 BEGIN */"],
        );
        check(QueryKind::Commit, &["COMMIT", "commit /* implicit, from Xid */"]);
        check(QueryKind::Rollback, &["ROLLBACK", "rollback /* x */", "ROLLBACK WORK"]);
        check(
            QueryKind::Savepoint,
            &["SAVEPOINT `s1`", "ROLLBACK TO `s1`", "rollback work to s1", "release savepoint x"],
        );
        check(QueryKind::XaStart, &["XA START X'7831',X'',1"]);
        check(QueryKind::XaEnd, &["XA END X'7831',X'',1"]);
        check(QueryKind::XaCommit, &["XA COMMIT X'7831',X'',1", "xa  commit X'7831',X'',1"]);
        check(QueryKind::XaRollback, &["XA ROLLBACK X'7831',X'',1"]);
        check(
            QueryKind::Other,
            &["", " ", "/*", "BEGINS", "COMMITTED", "XA", "create table begin (a int)", "--", "# x", "/*!"],
        );
    }
}
