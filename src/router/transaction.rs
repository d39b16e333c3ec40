//! Where the stream stands: file, open group, last transaction end, and what each event means for them.
//!
//! [`Stream::advance`] turns an event into a [`Step`] for the router. Every event kind has an arm (I6). A position moves
//! only at the end of a group, and only here, so a saved position is always a transaction end (I4); the version of a row
//! is a function of file and offset alone (I2). Rows may be inserted before their XID is seen: the binary log holds only
//! committed transactions (XA apart, whose tables are set aside), and only the checkpoint waits for the end.

use std::collections::HashSet;
use std::sync::Arc;

use crate::binlog::control::{FormatDescription, Heartbeat, Rotate, XaPrepare};
use crate::binlog::event::{Event, EventKind};
use crate::binlog::gtid_event::GtidEvent;
use crate::binlog::query::{Query, QueryKind};
use crate::binlog::rows::RowsEvent;
use crate::error::{Error, ErrorKind, Result};
use crate::gtid::{Gtid, GtidSet};
use crate::message::EventSpan;
use crate::position::{Position, Timeline, Version};

/// XA transactions remembered as prepared in this run; more are forgotten, which only makes the answer more careful.
const PREPARED_MAX: usize = 10_000;

const PARTIAL_JSON: &str = "JSON diffs are not built yet: SET PERSIST binlog_row_value_options=''";
const ROWS_V1: &str = "version 1 of the rows events is not built yet: SET GLOBAL log_bin_use_v1_row_events=0";
const PAYLOAD: &str = "compressed transactions are not built yet: SET PERSIST binlog_transaction_compression=OFF, and start behind the last one";
const CUT: &str = "its transaction was cut short in the source's binary log";
const MARIADB: &str = "MariaDB's binary log is not built yet";

/// The stream's own state; tables and bodies are the router's.
#[derive(Debug)]
pub struct Stream {
    timeline: Timeline,
    end: Arc<Position>,
    /// The position that this connection started from, whose file must still be the same one.
    resumed: Arc<Position>,
    file: String,
    file_base: Version,
    has_checksum: bool,
    group: Option<Group>,
    /// Whether the source has sent all it has: its last word was a heartbeat.
    pub caught_up: bool,
    /// Transactions ended since the start.
    pub transactions: u64,
    prepared: HashSet<String>,
}

/// A transaction whose end has not come yet.
#[derive(Debug, Default)]
struct Group {
    gtid: Option<Gtid>,
    commit_us: u64,
    has_begun: bool,
    xa: Option<String>,
}

/// What the router has to do for an event.
#[derive(Debug)]
pub enum Step<'a> {
    /// Nothing.
    Nothing,
    /// Table ids mean nothing any more.
    ForgetMaps,
    /// The file ended with an event that says so.
    Rotated,
    /// A TABLE_MAP.
    Map(Event<'a>),
    /// Rows of one table.
    Rows(RowsEvent<'a>),
    /// Rows that this version cannot carry over: the table id and why.
    RefusedRows(u64, &'static str),
    /// A statement that may change tables, or rows without row events.
    Statement(Query<'a>),
    /// The open group was rolled back or cut: what its tables got from it is not true.
    RolledBack(&'static str),
    /// An XA COMMIT of rows that this process has not seen.
    UnknownXaCommit(String),
}

impl Stream {
    /// A stream that goes on from `start`.
    pub fn new(timeline: Timeline, start: Position) -> Self {
        let start = Arc::new(start);
        Self {
            timeline,
            end: Arc::clone(&start),
            file: start.file.clone(),
            resumed: start,
            file_base: Version::default(),
            has_checksum: true,
            group: None,
            caught_up: false,
            transactions: 0,
            prepared: HashSet::new(),
        }
    }

    /// The last transaction end.
    pub fn end(&self) -> &Arc<Position> {
        &self.end
    }

    /// The file that events come from now.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The timeline of the versions.
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// The version of the byte at `offset` of the current file, which [`Timeline::check_offset`] has passed.
    pub fn version(&self, offset: u64) -> Version {
        self.file_base.plus(offset)
    }

    /// Whether the open group is an XA transaction.
    pub fn in_xa(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.xa.is_some())
    }

    /// The connection was lost: the open group comes again.
    pub fn reconnecting(&mut self) -> Position {
        self.group = None;
        self.caught_up = false;
        self.resumed = Arc::clone(&self.end);
        Position::clone(&self.end)
    }

    /// Takes the next event, which lies at `span`.
    ///
    /// # Errors
    /// Events that end the stream: corrupt, or of a kind that must not be skipped.
    pub fn advance<'a>(&mut self, bytes: &'a [u8], span: EventSpan) -> Result<Step<'a>> {
        let event = Event::parse(bytes, self.has_checksum)?;
        self.caught_up &= event.header.is_artificial();
        let step = self.step(&event, span)?;
        // A ROTATE has set the end itself, in the next file.
        if event.header.kind != EventKind::Rotate {
            self.move_end(span);
        }
        Ok(step)
    }

    /// Every kind has its arm (I6).
    fn step<'a>(&mut self, event: &Event<'a>, span: EventSpan) -> Result<Step<'a>> {
        use EventKind as Kind;
        match event.header.kind {
            Kind::WriteRows | Kind::UpdateRows | Kind::DeleteRows => Ok(Step::Rows(RowsEvent::parse(event)?)),
            Kind::TableMap => Ok(Step::Map(*event)),
            Kind::Gtid | Kind::GtidTagged | Kind::AnonymousGtid => Ok(self.begin(&GtidEvent::parse(event)?)),
            Kind::Query | Kind::ExecuteLoadQuery => Ok(self.query(Query::parse(event)?, span)),
            Kind::Xid => Ok(self.end_group(span)),
            Kind::Heartbeat | Kind::HeartbeatV2 => Ok(self.heartbeat(&Heartbeat::parse(event)?)),
            Kind::Rotate => self.rotate(&Rotate::parse(event)?, event.header.is_artificial()),
            Kind::FormatDescription => self.format(&FormatDescription::parse(event)?),
            Kind::PreviousGtids => self.previous_gtids(event.body),
            Kind::XaPrepare => Ok(self.xa_prepare(&XaPrepare::parse(event)?, span)),
            Kind::Stop | Kind::RowsQuery | Kind::Ignorable | Kind::TransactionContext | Kind::ViewChange => {
                Ok(Step::Nothing)
            }
            Kind::PartialUpdateRows => refuse_rows(event, PARTIAL_JSON),
            Kind::WriteRowsV1 | Kind::UpdateRowsV1 | Kind::DeleteRowsV1 => refuse_rows(event, ROWS_V1),
            // They precede a statement, which has its own answer.
            Kind::Intvar | Kind::Rand | Kind::UserVar | Kind::BeginLoadQuery | Kind::AppendBlock | Kind::DeleteFile => {
                Ok(Step::Nothing)
            }
            Kind::TransactionPayload => Err(unsupported(PAYLOAD)),
            Kind::Incident => {
                Err(unsupported("the source reports an INCIDENT: its binary log lacks changes; copy the tables anew"))
            }
            Kind::MariadbAnnotateRows
            | Kind::MariadbBinlogCheckpoint
            | Kind::MariadbGtid
            | Kind::MariadbGtidList
            | Kind::MariadbStartEncryption
            | Kind::MariadbQueryCompressed
            | Kind::MariadbRowsCompressed(_) => Err(unsupported(MARIADB)),
            Kind::StartV3
            | Kind::Load
            | Kind::Slave
            | Kind::CreateFile
            | Kind::ExecLoad
            | Kind::NewLoad
            | Kind::PreGaWriteRows
            | Kind::PreGaUpdateRows
            | Kind::PreGaDeleteRows => Err(unsupported("events of servers before MySQL 5.1 are not read")),
            Kind::Unknown(_) if event.header.is_ignorable() => Ok(Step::Nothing),
            Kind::Unknown(code) => {
                Err(unsupported(format!("event type {code} is unknown to this version and must not be skipped")))
            }
        }
    }

    /// Between groups, the end of any event is as good a place to go on from as the last transaction's end.
    fn move_end(&mut self, span: EventSpan) {
        let event_end = span.offset + span.len as u64;
        if span.offset > 0 && self.group.is_none() && self.end.file == self.file && self.end.offset < event_end {
            reach(Arc::make_mut(&mut self.end), event_end);
        }
    }

    /// The source has sent all it has. After a dump by GTID the heartbeat also says how far the skipped groups reach.
    fn heartbeat<'a>(&mut self, heartbeat: &Heartbeat) -> Step<'a> {
        self.caught_up = self.group.is_none();
        let reached = heartbeat.position.filter(|&position| position > self.end.offset);
        if let Some(offset) = reached
            && self.group.is_none()
            && heartbeat.file == self.end.file
        {
            reach(Arc::make_mut(&mut self.end), offset);
        }
        Step::Nothing
    }

    fn begin<'a>(&mut self, start: &GtidEvent) -> Step<'a> {
        let is_cut = self.cut();
        if start.gtid.is_none() && self.end.gtid_set.is_some() {
            // An anonymous transaction is in no set: from here on only file and offset resume.
            Arc::make_mut(&mut self.end).gtid_set = None;
        }
        self.group = Some(Group { gtid: start.gtid, commit_us: start.commit_us, ..Group::default() });
        if is_cut { Step::RolledBack(CUT) } else { Step::Nothing }
    }

    fn query<'a>(&mut self, query: Query<'a>, span: EventSpan) -> Step<'a> {
        let group = self.group.get_or_insert_default();
        match query.kind() {
            QueryKind::Begin => group.has_begun = true,
            QueryKind::XaStart => {
                group.has_begun = true;
                group.xa = Some(xid(&query.text()));
            }
            QueryKind::Savepoint | QueryKind::XaEnd => {}
            QueryKind::Commit => return self.end_group(span),
            QueryKind::Rollback => {
                self.end_group(span);
                return Step::RolledBack("a group of non-transactional changes ended in ROLLBACK");
            }
            QueryKind::XaCommit => return self.xa_commit(&xid(&query.text()), span),
            QueryKind::XaRollback => {
                self.prepared.remove(&xid(&query.text()));
                return self.end_group(span);
            }
            QueryKind::Other if group.has_begun => return Step::Statement(query),
            QueryKind::Other => {
                self.end_group(span);
                return Step::Statement(query);
            }
        }
        Step::Nothing
    }

    fn xa_prepare<'a>(&mut self, prepare: &XaPrepare, span: EventSpan) -> Step<'a> {
        let xid = self.group.as_mut().and_then(|group| group.xa.take());
        if !prepare.one_phase && self.prepared.len() < PREPARED_MAX {
            self.prepared.extend(xid);
        }
        self.end_group(span)
    }

    fn xa_commit<'a>(&mut self, xid: &str, span: EventSpan) -> Step<'a> {
        self.end_group(span);
        if self.prepared.remove(xid) { Step::Nothing } else { Step::UnknownXaCommit(xid.to_owned()) }
    }

    fn end_group<'a>(&mut self, span: EventSpan) -> Step<'a> {
        let group = self.group.take().unwrap_or_default();
        let end = Arc::make_mut(&mut self.end);
        self.file.clone_into(&mut end.file);
        reach(end, span.offset + span.len as u64);
        if group.commit_us > 0 {
            end.last_commit_us = group.commit_us;
        }
        if let (Some(set), Some(gtid)) = (&mut end.gtid_set, &group.gtid) {
            set.add(gtid);
        }
        self.transactions += 1;
        Step::Nothing
    }

    /// Drops the open group; true when it had begun and so has no end: the source died while it wrote.
    fn cut(&mut self) -> bool {
        self.group.take().is_some_and(|group| group.has_begun)
    }

    fn rotate<'a>(&mut self, rotate: &Rotate, is_artificial: bool) -> Result<Step<'a>> {
        let is_new = rotate.file != self.file;
        let is_cut = is_new && self.cut();
        self.file.clone_from(&rotate.file);
        self.file_base = self.timeline.version(&rotate.file, 0)?;
        if self.group.is_none() && is_new {
            let end = Arc::make_mut(&mut self.end);
            end.file.clone_from(&rotate.file);
            end.offset = rotate.position;
            end.file_timestamp = 0;
        }
        Ok(match () {
            () if is_cut => Step::RolledBack(CUT),
            () if is_artificial => Step::Nothing,
            () => Step::Rotated,
        })
    }

    fn format<'a>(&mut self, format: &FormatDescription) -> Result<Step<'a>> {
        if format.is_mariadb() {
            return Err(unsupported(format!("{}: {MARIADB}", format.server_version)));
        }
        self.has_checksum = format.has_checksum;
        self.check_file(format.header_timestamp)?;
        if self.end.file == self.file && self.end.file_timestamp != format.header_timestamp {
            Arc::make_mut(&mut self.end).file_timestamp = format.header_timestamp;
        }
        Ok(Step::ForgetMaps)
    }

    /// A file of the name we resumed in must be the file we left: after RESET, restore or a crash the same name holds
    /// other data.
    fn check_file(&self, timestamp: u32) -> Result<()> {
        let resumed = &self.resumed;
        if resumed.file != self.file || resumed.file_timestamp == 0 || resumed.file_timestamp == timestamp {
            return Ok(());
        }
        let text = format!(
            "binlog file {} was created at {timestamp} but the checkpoint knows it as created at {}: the source's binary logs were reset or restored; its tables must be copied anew",
            self.file, resumed.file_timestamp
        );
        Err(Error::new(ErrorKind::LostPosition, text))
    }

    /// Comes at the beginning of a file only: with it a set that was not complete is (and stays so unless an anonymous
    /// transaction follows), and a complete one must hold it.
    fn previous_gtids<'a>(&mut self, body: &[u8]) -> Result<Step<'a>> {
        let previous = GtidSet::decode(body)?;
        match &self.end.gtid_set {
            Some(ours) if !ours.contains_set(&previous) => {
                let text = format!(
                    "{} starts after transactions {previous}, of which the stream has seen only {ours}: transactions are \
                     missing; copy the tables anew",
                    self.file
                );
                return Err(Error::new(ErrorKind::LostPosition, text));
            }
            Some(_) => {}
            None => Arc::make_mut(&mut self.end).gtid_set = Some(previous),
        }
        Ok(Step::Nothing)
    }
}

/// Moves a position on in its file. A dump by file and offset starts below 4 GiB only, so without GTID the position stays
/// at the last transaction end there; what lies between comes again after a restart, as the same bytes.
fn reach(end: &mut Position, offset: u64) {
    if end.gtid_set.is_some() || offset <= u64::from(u32::MAX) {
        end.offset = offset;
    }
}

fn refuse_rows<'a>(event: &Event<'_>, why: &'static str) -> Result<Step<'a>> {
    Ok(Step::RefusedRows(RowsEvent::table_id_of(event)?, why))
}

fn unsupported(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedEvent, text)
}

/// The xid in `XA START X'..',X'..',1`: everything from its first quote.
fn xid(sql: &str) -> String {
    sql.split_once('\'').map_or_else(String::new, |(_, xid)| xid.trim().to_owned())
}
