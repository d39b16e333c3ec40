//! What ClickHouse's errors mean: an exception code (or the lack of an answer) becomes an [`ErrorKind`].
//!
//! The code decides, not the HTTP status: 500 is the status of a lost Keeper and of a broken row alike. Why each class
//! is right for us:
//! * **busy**: the same bytes may succeed later. Sending an insert again is always harmless (rows carry versions), so
//!   everything that may pass belongs here, every I/O error included: "no answer" never means "nothing written".
//! * **denied**: the account or the server must be mended by a person. It concerns all tables alike, so setting tables
//!   aside would take them all down for one wrong grant; the insert is tried again until the person has acted. A setting
//!   that the server no longer knows (115, after a downgrade) is of this kind too.
//! * **refused**: this table or these rows, and the next try would end the same. The table is set aside.
//! * **an unknown code** is told by the HTTP status, which the server chooses by who is at fault: 4xx and 501 say that
//!   the request is wrong (refused), 5xx that the server has trouble (busy). A try again loses nothing and is not
//!   silent: each failure is logged, the lag grows, `/healthz` turns 503; while a table set aside for a passing trouble
//!   that this list does not know would have to be copied again.
//!
//! Codes: <https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>; statuses:
//! `src/Server/HTTP/exceptionCodeToHTTPStatus.cpp` there.

use crate::error::{Error, ErrorKind};

/// The server's own text is cut here, in characters: it can hold a whole statement.
const TEXT_MAX_CHARS: usize = 300;

/// An error from the server's answer: HTTP status, exception code if one was found, and the text of the body.
pub fn from_answer(status: u16, code: Option<u32>, text: &str) -> Error {
    let kind = kind_of(status, code, text);
    let said = shortened(text);
    let remedy = remedy(code, kind, text);
    let text = match code {
        Some(code) => format!("ClickHouse error {code}: {said}; {remedy}"),
        None => format!("HTTP {status} without a ClickHouse error code: {said}; {remedy}"),
    };
    let mut error = Error::new(kind, text);
    error.code = code;
    error
}

/// The number after `Code: `, wherever it stands in the text.
pub fn code_in(text: &str) -> Option<u32> {
    text.split("Code: ").skip(1).find_map(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest.get(..digits)?.parse().ok()
    })
}

/// The exception that follows the rows of an answer whose status was sent before things went wrong: marked by a line
/// `__exception__` (25.1 and newer) or, before, only by its own line at the end. A line break inside a value is escaped
/// in every format that we read, so only a value that is a row by itself could look like either: loud, not wrong.
pub fn exception_after_rows(text: &str) -> Option<&str> {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        if line.trim_end() == "__exception__" {
            return text.get(end..);
        }
    }
    text.trim_end().lines().next_back().filter(|line| is_exception(line))
}

/// `Code: 60. DB::Exception: ..`
fn is_exception(line: &str) -> bool {
    let after_code = line.strip_prefix("Code: ").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    after_code.is_some_and(|rest| rest.starts_with(". DB::Exception: ")) && !line.contains('\t')
}

fn kind_of(status: u16, code: Option<u32>, text: &str) -> ErrorKind {
    let Some(code) = code else { return kind_without_code(status) };
    match code {
        252 if text.contains("Too many partitions") => ErrorKind::TargetRefused,
        252 => ErrorKind::TargetCrowded,
        // Another ALTER of ours came between looking and this one: see the floor.
        36 if text.contains("Cannot find constraint") => ErrorKind::TargetBusy,
        3 | 23 | 24 | 32 | 159 | 160 | 173 | 198 | 202 | 203 | 209 | 210 | 216 | 225 | 236 | 241..=244 | 254
        | 279 | 285 | 286 | 289 | 290 | 319 | 341 | 369 | 394 | 416 | 425 | 439 | 473 | 499 | 519 | 700 | 733 | 745
        | 999 | 1000 => ErrorKind::TargetBusy,
        115 | 164 | 192..=194 | 201 | 452 | 497 | 512 | 516 => ErrorKind::TargetDenied,
        // The target's columns are no longer those we know, or it is gone.
        8 | 10 | 16 | 20 | 47 | 60 | 81 | 122 | 218 | 517 | 524
        // Rows or statements that it will never take; 469 is a constraint, as is the floor.
        | 6 | 26 | 27 | 33 | 36 | 38 | 41 | 43 | 44 | 50 | 53 | 62 | 69 | 70 | 72 | 73 | 117 | 131 | 321 | 349 | 407
        | 469 | 691 => ErrorKind::TargetRefused,
        _ => kind_by_status(status),
    }
}

fn kind_by_status(status: u16) -> ErrorKind {
    match status {
        408 | 429 => ErrorKind::TargetBusy,
        400..=499 | 501 => ErrorKind::TargetRefused,
        _ => ErrorKind::TargetBusy,
    }
}

/// No code: not ClickHouse spoke but a proxy or balancer before it, and not about a table.
fn kind_without_code(status: u16) -> ErrorKind {
    match status {
        408 | 429 | 500..600 => ErrorKind::TargetBusy,
        _ => ErrorKind::TargetDenied,
    }
}

fn remedy(code: Option<u32>, kind: ErrorKind, text: &str) -> &'static str {
    match code {
        Some(115) => "the server no longer knows a setting that it had: restart Stream Bridge",
        Some(164) => "the account is read-only: give its profile readonly = 0",
        Some(192..=194 | 516) => "correct clickhouse.user and clickhouse.password",
        Some(201) => "the account's quota is used up: raise it",
        Some(452) => "the account's profile forbids a setting that Stream Bridge sends: lift that constraint",
        Some(497) => "run the GRANTs of conf/clickhouse-privileges.sql",
        Some(252) if text.contains("Too many partitions") => {
            "raise max_partitions_per_insert_block for the account or partition the table more coarsely, then `resync` it"
        }
        Some(60 | 81) => "the target is gone: create it again, then `resync` the table",
        Some(8 | 10 | 16 | 20 | 47 | 117) => "the target's columns changed: restore them, then `resync` the table",
        Some(469) => "a constraint of the target refuses the rows",
        None if kind == ErrorKind::TargetDenied => "does clickhouse.url lead to the HTTP interface of ClickHouse?",
        _ if kind == ErrorKind::TargetBusy => "the same is sent again later",
        _ => "mend the cause, then `resync` the table",
    }
}

/// The first line of several words (before it may stand the exception's tag), without its code, at most
/// [`TEXT_MAX_CHARS`] long.
fn shortened(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| line.contains(' ')).unwrap_or_else(|| text.trim());
    let line = line.split_once("DB::Exception: ").map_or(line, |(_, said)| said);
    match line.char_indices().nth(TEXT_MAX_CHARS) {
        Some((end, _)) => format!("{}..", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorKind::{TargetBusy, TargetCrowded, TargetDenied, TargetRefused};

    #[test]
    fn codes_decide() {
        let check = |status, code, text: &str, expected| {
            let error = from_answer(status, code, text);
            assert_eq!(error.kind, expected, "{error}");
        };
        for code in [3, 159, 202, 209, 210, 216, 241, 242, 243, 279, 285, 319, 425, 999, 1000] {
            check(500, Some(code), "Too many parts", TargetBusy);
        }
        for code in [115, 164, 192, 193, 194, 201, 452, 497, 512, 516] {
            check(500, Some(code), "x", TargetDenied);
        }
        for code in [6, 8, 10, 16, 20, 33, 44, 47, 60, 62, 81, 117, 131, 349, 407, 469, 517, 524, 691] {
            check(500, Some(code), "x", TargetRefused);
        }
        check(500, Some(252), "Too many parts (3000)", TargetCrowded);
        check(400, Some(36), "Wrong constraint name. Cannot find constraint `x` to drop", TargetBusy);
        check(400, Some(36), "x", TargetRefused);
        check(500, Some(252), "Too many partitions for single INSERT block (more than 100)", TargetRefused);
    }

    #[test]
    fn unknown_codes_go_by_who_is_at_fault() {
        for (status, expected) in [
            (500, TargetBusy),
            (503, TargetBusy),
            (408, TargetBusy),
            (429, TargetBusy),
            (400, TargetRefused),
            (501, TargetRefused),
        ] {
            assert_eq!(from_answer(status, Some(123_456), "x").kind, expected, "{status}");
        }
    }

    #[test]
    fn answers_that_are_not_clickhouses() {
        for (status, expected) in [
            (502, TargetBusy),
            (503, TargetBusy),
            (504, TargetBusy),
            (408, TargetBusy),
            (429, TargetBusy),
            (200, TargetDenied),
            (301, TargetDenied),
            (404, TargetDenied),
            (413, TargetDenied),
        ] {
            assert_eq!(from_answer(status, None, "<html>").kind, expected, "{status}");
        }
    }

    #[test]
    fn the_code_is_found_anywhere() {
        for (text, expected) in [
            ("Code: 60. DB::Exception: Table shop.t does not exist. (UNKNOWN_TABLE)", Some(60)),
            ("Poco::Exception. Code: 1000, e.code() = 0", Some(1000)),
            ("Code: x. Code: 7.", Some(7)),
            ("Code: 99999999999", None),
            ("<html>502</html>", None),
        ] {
            assert_eq!(code_in(text), expected, "{text}");
        }
    }

    #[test]
    fn an_exception_after_rows_is_told_from_rows() {
        for (text, found) in [
            ("1\n2\n__exception__\r\nabc\r\nCode: 395. DB::Exception: x", true),
            ("__exception__\r\nCode: 395", true),
            ("a __exception__\n__exception__ b\n__exception__\nCode: 395", true),
            ("a __exception__\n__exception__ b\n", false),
            ("1\nCode: 241. DB::Exception: Memory limit\n", true),
            ("1\n\nCode: 60. DB::Exception: x\tsecond column\n", false),
            ("Code: x\n", false),
            ("", false),
            ("{\"reason\":\"Code: 60. DB::Exception: x\"}\n", false),
            ("{\"reason\":\"\\n__exception__\"}\n", false),
        ] {
            assert_eq!(exception_after_rows(text).is_some(), found, "{text}");
        }
    }

    #[test]
    fn texts_are_short_and_name_the_remedy() {
        let long = format!("Code: 497. DB::Exception: {}\nstack", "é".repeat(1000));
        let error = from_answer(403, Some(497), &long);
        assert!(error.text.chars().count() < 450 && !error.text.contains("stack"), "{error}");
        assert!(error.text.contains("conf/clickhouse-privileges.sql"));
        let error = from_answer(500, Some(395), "abcdef\r\nCode: 395. DB::Exception: boom");
        assert_eq!(error.text, "ClickHouse error 395: boom; the same is sent again later");
    }
}
