//! The client: statements, and inserts of ready-made rows.
//!
//! An insert is acked only by a definite answer (`wait_end_of_query`) to a synchronous write (`async_insert=0`) of **one
//! block**: several blocks would be committed one by one, and a failure at the end would leave the first ones
//! behind. Block deduplication is off: replays are told apart by versions, and a swallowed block would be lost.
//! The column list, the names and types in the body and `input_format_skip_unknown_fields=0` make an insert that was
//! prepared for other columns fail as a whole, however late it arrives. Nothing is retried here.

use std::fmt;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use crate::clickhouse::features::Features;
use crate::clickhouse::sql;
use crate::clickhouse::transport::{self, Answer, Transport};
use crate::config::ClickHouseConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::rowbinary::Body;
use crate::schema::mapping::TargetFeatures;
use crate::schema::target::InsertColumns;
use crate::schema::target_type::{Base, TargetType};
use crate::schema::types::TableName;

/// A longer statement goes into the body: balancers take as little as 16 KiB of URL, ClickHouse 1 MiB.
const URL_QUERY_BYTES_MAX: usize = 16 << 10;
/// Documents come as text, and what looks like a date in them is none. Only sent where they matter: old servers know neither.
const JSON_SETTINGS: &str =
    "&input_format_binary_read_json_as_string=1&input_format_try_infer_dates=0&input_format_try_infer_datetimes=0";

/// The setting by which columns of a body that the table lacks are passed over.
const SKIP_UNKNOWN: &str = "input_format_skip_unknown_fields";

/// A ClickHouse server; shared by all threads.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    features: Features,
    query_parameters: String,
    insert_parameters: String,
    fence: OnceLock<Fence>,
}

/// What must hold before a statement changes anything.
struct Fence(Box<dyn Fn() -> Result<()> + Send + Sync>);

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fence")
    }
}

impl Client {
    /// Connects, asks what the server is, and keeps up to `connections` connections.
    ///
    /// # Errors
    /// No server, a server older than 23.8, a refused account.
    pub fn connect(config: &ClickHouseConfig, connections: usize) -> Result<Self> {
        let transport = Transport::new(config, connections)?;
        let features = ask_features(&transport)?;
        let both = both_parameters(&features, config.insert_quorum);
        let query_parameters = format!("{both}{}", query_parameters(&features));
        let insert_parameters = format!("{both}{}", insert_parameters(&features));
        Ok(Self { transport, features, query_parameters, insert_parameters, fence: OnceLock::new() })
    }

    /// From now on `check` must succeed before each statement of [`Client::query`]; inserts of rows need no check, for
    /// their versions keep them in order. The first fence stays.
    pub fn fence(&self, check: impl Fn() -> Result<()> + Send + Sync + 'static) {
        let _ = self.fence.set(Fence(Box::new(check)));
    }

    /// What the server can do.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// What of it decides column types.
    pub fn target_features(&self) -> TargetFeatures {
        TargetFeatures { time64: self.features.time64 }
    }

    /// Runs one statement (an INSERT may carry its rows after a line break); returns the body, TabSeparated unless
    /// the statement names another format.
    ///
    /// # Errors
    /// No answer, or one that is not success; what the fence says.
    pub fn query(&self, statement: &str) -> Result<String> {
        self.fence.get().map_or(Ok(()), |fence| fence.0())?;
        self.ask(statement)
    }

    /// Runs a statement that may run whatever the fence says: one that changes nothing, or whose caller has asked.
    ///
    /// # Errors
    /// No answer, or one that is not success.
    pub fn ask(&self, statement: &str) -> Result<String> {
        run(&self.transport, &self.query_parameters, statement)
    }

    /// Runs a SELECT that names a format; its rows as a stream of bytes. The server keeps the answer until it is whole
    /// (`wait_end_of_query`), so one that begins is right to its end, or breaks off.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn stream(&self, select: &str) -> Result<impl std::io::Read + use<>> {
        let response = self.transport.send(&self.query_parameters, &[select.as_bytes()]);
        self.transport.open(response.map_err(|error| self.transport.no_answer(&error))?)
    }

    /// Runs a SELECT and parses each row (`FORMAT JSONEachRow`) by its column names.
    ///
    /// # Errors
    /// As [`Client::query`]; rows of another shape.
    pub fn rows<T: DeserializeOwned>(&self, select: &str) -> Result<Vec<T>> {
        let text = self.ask(&format!("{select} FORMAT JSONEachRow"))?;
        text.lines().map(|line| parse_row(line, select)).collect()
    }

    /// Inserts all rows of `body` as one block. `query_id` must be new for each attempt.
    ///
    /// # Errors
    /// No answer (the rows may or may not be there: send the same again), or an answer that is not success, or fewer
    /// rows written than sent.
    pub fn insert(&self, table: &TableName, columns: &InsertColumns, body: &Body, query_id: &str) -> Result<()> {
        let request = InsertRequest::new(&insert_statement(table, columns), columns, body, &self.insert_parameters);
        self.insert_as(&request, table, body, query_id)
    }

    /// The same for a table that may lack some of the columns: the server leaves those out. A column that is there must
    /// still have the type that the rows say.
    ///
    /// # Errors
    /// As [`Client::insert`].
    pub fn insert_what_fits(
        &self,
        table: &TableName,
        columns: &InsertColumns,
        body: &Body,
        query_id: &str,
    ) -> Result<()> {
        let statement = format!("INSERT INTO {} FORMAT RowBinaryWithNamesAndTypes", sql::table(table));
        let parameters = self.insert_parameters.replace(&format!("{SKIP_UNKNOWN}=0"), &format!("{SKIP_UNKNOWN}=1"));
        let request = InsertRequest::new(&statement, columns, body, &parameters);
        self.insert_as(&request, table, body, query_id)
    }

    fn insert_as(&self, request: &InsertRequest, table: &TableName, body: &Body, query_id: &str) -> Result<()> {
        let answer = self.transport.renewing(|| self.send_insert(request, body, query_id));
        let answer = answer.map_err(|error| error.at_table(table))?;
        check_written(answer.written_rows, body.rows()).map_err(|error| error.at_table(table))
    }

    fn send_insert(&self, request: &InsertRequest, body: &Body, query_id: &str) -> Result<Answer> {
        let mut parts = vec![request.head.as_slice()];
        parts.extend(body.chunks().iter().map(Vec::as_slice));
        match self.transport.send(&request.parameters(query_id), &parts) {
            Ok(response) => self.transport.receive(response),
            Err(error) if transport::upload_was_cut(&error) => Err(self.why_cut(request, query_id, &error)),
            Err(error) => Err(self.transport.no_answer(&error)),
        }
    }

    /// A server that refuses an insert early answers and closes while we still send, and the answer is lost. The same
    /// insert without rows learns the reason and writes nothing.
    fn why_cut(&self, request: &InsertRequest, query_id: &str, error: &ureq::Error) -> Error {
        let probe = self.transport.send(&request.parameters(&format!("{query_id}-probe")), &[&request.head]);
        let reason = probe.ok().and_then(|response| self.transport.receive(response).err());
        reason.unwrap_or_else(|| self.transport.no_answer(error))
    }
}

/// An insert but for its rows.
struct InsertRequest {
    settings: String,
    /// What precedes the rows in the body.
    head: Vec<u8>,
}

impl InsertRequest {
    fn new(statement: &str, columns: &InsertColumns, body: &Body, client_settings: &str) -> Self {
        // Rows of a body without changes have different keys: the server need not look for repeated ones.
        let optimize = u8::from(body.has_changes);
        // One more than there are: the block is closed by the body's end alone.
        let block_rows = body.rows() + 1;
        let mut settings = format!(
            "{client_settings}&optimize_on_insert={optimize}\
             &max_insert_block_size={block_rows}&min_insert_block_size_rows={block_rows}"
        );
        if columns.0.iter().any(|column| matches!(TargetType::parse(&column.ty).base, Base::Json { .. })) {
            settings.push_str(JSON_SETTINGS);
        }
        let encoded = url_encoded(statement);
        let mut head = Vec::new();
        if encoded.len() <= URL_QUERY_BYTES_MAX {
            settings.push_str("&query=");
            settings.push_str(&encoded);
        } else {
            head.extend(statement.as_bytes());
            head.push(b'\n');
        }
        head.extend(columns.header());
        Self { settings, head }
    }

    fn parameters(&self, query_id: &str) -> String {
        format!("query_id={}{}", url_encoded(query_id), self.settings)
    }
}

fn insert_statement(table: &TableName, columns: &InsertColumns) -> String {
    let columns = sql::identifiers(columns.0.iter().map(|column| column.name.as_str()));
    // No line break at its end: the server adds one itself, and a second would be the first byte of the rows.
    format!("INSERT INTO {} ({columns}) FORMAT RowBinaryWithNamesAndTypes", sql::table(table))
}

/// Above is right: materialized views of the table count too.
fn check_written(written: Option<u64>, sent: usize) -> Result<()> {
    match written {
        Some(written) if written >= sent as u64 => Ok(()),
        Some(written) => {
            let text = format!("ClickHouse says that it wrote {written} of {sent} rows; the same is sent again");
            Err(Error::new(ErrorKind::TargetBusy, text))
        }
        None => {
            let text = "the answer to an insert has no X-ClickHouse-Summary: let the proxy between pass that header";
            Err(Error::new(ErrorKind::TargetDenied, text))
        }
    }
}

fn run(transport: &Transport, parameters: &str, statement: &str) -> Result<String> {
    transport.renewing(|| {
        let response = transport.send(parameters, &[statement.as_bytes()]);
        let response = response.map_err(|error| transport.no_answer(&error))?;
        Ok(transport.receive(response)?.text)
    })
}

fn ask_features(transport: &Transport) -> Result<Features> {
    let ask = |statement| run(transport, "wait_end_of_query=1", statement);
    let version = ask("SELECT version()")?;
    let settings = ask("SELECT name FROM system.settings")?.lines().map(str::to_owned).collect();
    let time64 = ask("SELECT count() FROM system.data_type_families WHERE name = 'Time64'")?.trim() == "1";
    Features::new(version.trim(), settings, time64)
}

fn both_parameters(features: &Features, insert_quorum: u32) -> String {
    let mut settings = vec![
        ("async_insert", "0".to_owned()),
        ("insert_deduplicate", "0".to_owned()),
        ("deduplicate_insert", "disable".to_owned()),
        // 25.6 to 26 have Time64 but refuse it without this.
        ("enable_time_time64_type", "1".to_owned()),
    ];
    if insert_quorum > 0 {
        settings.push(("insert_quorum", insert_quorum.to_string()));
    }
    format!("&wait_end_of_query=1{}", features.parameters(&settings))
}

fn query_parameters(features: &Features) -> String {
    features.parameters(&[
        ("output_format_json_quote_64bit_integers", "0".to_owned()),
        ("http_write_exception_in_output_format", "0".to_owned()),
    ])
}

fn insert_parameters(features: &Features) -> String {
    features.parameters(&[
        (SKIP_UNKNOWN, "0".to_owned()),
        ("input_format_with_names_use_header", "1".to_owned()),
        ("input_format_with_types_use_header", "1".to_owned()),
        ("min_insert_block_size_bytes", "0".to_owned()),
        ("max_insert_block_size_bytes", "0".to_owned()),
    ])
}

fn parse_row<T: DeserializeOwned>(line: &str, select: &str) -> Result<T> {
    serde_json::from_str(line).map_err(|error| {
        Error::new(ErrorKind::TargetDenied, format!("ClickHouse answered {select:?} with an odd row: {error}"))
    })
}

/// Percent-encoding of everything but letters, digits and `-_.~`.
fn url_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::target::TargetColumn;

    fn columns(count: usize) -> InsertColumns {
        let column = |number| TargetColumn { name: format!("column{number}"), ty: "Int8".to_owned() };
        InsertColumns((0..count).map(column).collect())
    }

    #[test]
    fn a_long_statement_goes_into_the_body() {
        let body = Body::default();
        let table = TableName { database: "shop".to_owned(), table: "a`b".to_owned() };
        let short = InsertRequest::new(&insert_statement(&table, &columns(2)), &columns(2), &body, "&a=1");
        assert_eq!(short.head, columns(2).header());
        let parameters = short.parameters("id/1");
        assert!(parameters.starts_with("query_id=id%2F1&a=1&optimize_on_insert=0&"), "{parameters}");
        assert!(parameters.ends_with("FORMAT%20RowBinaryWithNamesAndTypes"), "{parameters}");
        let long = InsertRequest::new(&insert_statement(&table, &columns(2000)), &columns(2000), &body, "");
        assert!(!long.settings.contains("query="), "{}", long.settings);
        let head = [insert_statement(&table, &columns(2000)).as_bytes(), b"\n", &columns(2000).header()].concat();
        assert_eq!(long.head, head);
    }

    #[test]
    fn fewer_rows_written_than_sent_is_an_error() {
        assert_eq!(check_written(Some(3), 3), Ok(()));
        assert_eq!(check_written(Some(6), 3), Ok(()));
        assert_eq!(check_written(Some(2), 3).unwrap_err().kind, ErrorKind::TargetBusy);
        assert!(check_written(None, 3).is_err());
    }
}
