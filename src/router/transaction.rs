//! Where the stream stands: file, open group, last transaction end, and what each event means for them.
//!
//! [`Stream::advance`] turns an event into a [`Step`] for the router. Every event kind has an arm (I6). A position moves
//! only at the end of a group, and only here, so a saved position is always a transaction end (I4); the version of a row
//! is a function of file and offset alone (I2). Rows may be inserted before their XID is seen: the binary log holds only
//! committed transactions, and only the checkpoint waits for the end. XA is the exception: see [`super::xa`].

use std::collections::HashSet;
use std::sync::Arc;

use crate::binlog::control::{FormatDescription, Heartbeat, Rotate, XaPrepare};
use crate::binlog::event::{Event, EventKind};
use crate::binlog::gtid_event::GtidEvent;
use crate::binlog::payload::TransactionPayload;
use crate::binlog::query::{Query, QueryKind};
use crate::binlog::rows::RowsEvent;
use crate::error::{Error, ErrorKind, Result};
use crate::gtid::{Gtid, GtidSet};
use crate::message::{EventSpan, TableIndex};
use crate::position::{Position, Timeline, Version, file_number, log_name};
use crate::retention::Needed;

use super::xa::{Undecided, XaTransaction};

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
    /// Where the group began that was open when the connection was lost: it must come again from there.
    unfinished: Option<Version>,
    /// Whether the source has sent all it has: its last word was a heartbeat.
    pub caught_up: bool,
    /// Transactions ended since the start.
    pub transactions: u64,
    /// XA transactions that are prepared.
    undecided: Undecided,
}

/// A transaction whose end has not come yet.
#[derive(Debug, Default)]
struct Group {
    start: Version,
    gtid: Option<Gtid>,
    commit_us: u64,
    has_begun: bool,
    xa: Option<XaTransaction>,
}

/// What the router has to do for an event.
#[derive(Debug)]
pub enum Step<'a> {
    /// Nothing.
    Nothing,
    /// Table ids mean nothing any more.
    ForgetMaps,
    /// A TABLE_MAP.
    Map(Event<'a>),
    /// Rows of one table.
    Rows(RowsEvent<'a>),
    /// A compressed transaction, whose events go through [`Stream::advance_inside`] one by one.
    Payload(TransactionPayload),
    /// A statement that may change tables, or changed rows without row events; a position below it.
    Statement(Query<'a>, Arc<Position>),
    /// The open group was rolled back or cut: what its tables got from it is not true.
    RolledBack(&'static str),
    /// An XA transaction's outcome: its rows go out. The position lies below its prepare.
    XaCommitted(XaTransaction, Arc<Position>),
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
            unfinished: None,
            caught_up: false,
            transactions: 0,
            undecided: Undecided::default(),
        }
    }

    /// The last transaction end.
    pub fn end(&self) -> &Arc<Position> {
        &self.end
    }

    /// Where a restart goes on: the last transaction end, or without GTID the one before the oldest undecided XA
    /// transaction. The GTIDs of those are not in the set.
    pub fn resume(&self) -> &Arc<Position> {
        match self.undecided.before_oldest() {
            Some(before) if self.end.gtid_set.is_none() => before,
            Some(_) | None => &self.end,
        }
    }

    /// How far this process has read: the last transaction end, and the GTIDs of undecided XA transactions as well.
    pub fn reached(&self) -> Position {
        let mut position = Position::clone(&self.end);
        if let Some(set) = &mut position.gtid_set {
            self.undecided.add_gtids(set);
        }
        position
    }

    /// What a restart from this saved position needs: the prepares of undecided XA transactions come again.
    pub fn needed(&self, saved: &Position) -> Needed {
        let saved = Needed { file: saved.file.clone(), offset: saved.offset, commit_us: saved.last_commit_us };
        let place = |needed: &Needed| (file_number(&needed.file).unwrap_or_default(), needed.offset);
        let oldest = self.undecided.needed().filter(|prepared| place(prepared) <= place(&saved));
        oldest.unwrap_or(saved)
    }

    /// The version of the last transaction end.
    ///
    /// # Errors
    /// When versions have run out.
    pub fn end_version(&self) -> Result<Version> {
        self.timeline.version(&self.end.file, self.end.offset)
    }

    /// The GTID of the open group; empty without one.
    pub fn gtid(&self) -> String {
        let gtid = self.group.as_ref().and_then(|group| group.gtid.as_ref());
        gtid.map(ToString::to_string).unwrap_or_default()
    }

    /// Whether no transaction is open.
    pub fn is_between_groups(&self) -> bool {
        self.group.is_none()
    }

    /// The xids of the XA transactions that are prepared.
    pub fn undecided_xids(&self) -> HashSet<String> {
        self.undecided.xids().map(str::to_owned).collect()
    }

    /// Whether the XA transaction of this xid is prepared.
    pub fn is_undecided(&self, xid: &str) -> bool {
        self.undecided.xids().any(|other| other == xid)
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

    /// The open group, when it is an XA transaction.
    pub fn open_xa(&mut self) -> Option<&mut XaTransaction> {
        self.group.as_mut().and_then(|group| group.xa.as_mut())
    }

    /// The memory that rows of XA transactions take; of one table, or of all.
    pub fn held_bytes(&self, table: Option<TableIndex>) -> usize {
        let open = self.group.as_ref().and_then(|group| group.xa.as_ref());
        open.map_or(0, |transaction| transaction.held_bytes(table)) + self.undecided.held_bytes(table)
    }

    /// Drops the rows of XA transactions of a table that is set aside.
    pub fn forget_held(&mut self, table: TableIndex) {
        if let Some(transaction) = self.open_xa() {
            transaction.forget(table);
        }
        self.undecided.forget(table);
    }

    /// The connection was lost: the open group comes again, unless the source has lost it.
    pub fn reconnecting(&mut self) -> Position {
        let open = self.group.take().filter(|group| group.has_begun);
        self.unfinished = open.map(|group| group.start).or(self.unfinished);
        self.caught_up = false;
        self.resumed = Arc::clone(&self.end);
        self.reached()
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

    /// Takes the next event inside the payload that lies at `payload`. The payload is atomic in the stream: a position
    /// is its end, and only once the transaction's end was seen in it.
    ///
    /// # Errors
    /// As [`Stream::advance`]; and when the transaction is over, for the end has passed what follows.
    pub fn advance_inside<'a>(&mut self, event: &Event<'a>, payload: EventSpan) -> Result<Step<'a>> {
        if self.group.is_none() {
            let text = format!("a {:?} event behind the end of its compressed transaction", event.header.kind);
            return Err(Error::new(ErrorKind::CorruptStream, text));
        }
        self.step(event, payload)
    }

    /// Every kind has its arm (I6).
    fn step<'a>(&mut self, event: &Event<'a>, span: EventSpan) -> Result<Step<'a>> {
        use EventKind as Kind;
        match event.header.kind {
            Kind::WriteRows
            | Kind::UpdateRows
            | Kind::DeleteRows
            | Kind::WriteRowsV1
            | Kind::UpdateRowsV1
            | Kind::DeleteRowsV1
            | Kind::PartialUpdateRows => Ok(Step::Rows(RowsEvent::parse(event)?)),
            Kind::TableMap => Ok(Step::Map(*event)),
            Kind::Gtid | Kind::GtidTagged | Kind::AnonymousGtid => Ok(self.begin(&GtidEvent::parse(event)?, span)),
            Kind::Query | Kind::ExecuteLoadQuery => self.query(Query::parse(event)?, span),
            Kind::Xid if self.in_xa() => Err(xa_misplaced("an XID")),
            Kind::Xid => Ok(self.end_group(span)),
            Kind::Heartbeat | Kind::HeartbeatV2 => Ok(self.heartbeat(&Heartbeat::parse(event)?)),
            Kind::Rotate => self.rotate(&Rotate::parse(event)?),
            Kind::FormatDescription => self.format(&FormatDescription::parse(event)?),
            Kind::PreviousGtids => self.previous_gtids(event.body),
            Kind::XaPrepare => self.xa_prepare(&XaPrepare::parse(event)?, span),
            Kind::Stop | Kind::RowsQuery | Kind::Ignorable | Kind::TransactionContext | Kind::ViewChange => {
                Ok(Step::Nothing)
            }
            // They precede a statement, which has its own answer.
            Kind::Intvar | Kind::Rand | Kind::UserVar | Kind::BeginLoadQuery | Kind::AppendBlock | Kind::DeleteFile => {
                Ok(Step::Nothing)
            }
            Kind::TransactionPayload => self.payload(event),
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

    /// Without its group it would count as a place between groups before its rows are acked (I4).
    fn payload<'a>(&self, event: &Event<'_>) -> Result<Step<'a>> {
        if self.group.is_none() {
            let text = "a compressed transaction without the GTID event before it: start at a transaction's beginning";
            return Err(Error::new(ErrorKind::CorruptStream, text));
        }
        TransactionPayload::parse(event).map(Step::Payload)
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

    fn begin<'a>(&mut self, start: &GtidEvent, span: EventSpan) -> Step<'a> {
        let at = self.version(span.offset);
        let is_gone = self.unfinished.take().is_some_and(|unfinished| unfinished != at);
        let is_cut = self.cut() || is_gone;
        if start.gtid.is_none() && self.end.gtid_set.is_some() {
            // An anonymous transaction is in no set: from here on only file and offset resume.
            Arc::make_mut(&mut self.end).gtid_set = None;
        }
        self.group = Some(Group { start: at, gtid: start.gtid, commit_us: start.commit_us, ..Group::default() });
        if is_cut { Step::RolledBack(CUT) } else { Step::Nothing }
    }

    fn query<'a>(&mut self, query: Query<'a>, span: EventSpan) -> Result<Step<'a>> {
        let group = self.group.get_or_insert_default();
        Ok(match query.kind() {
            QueryKind::XaStart if group.has_begun => return Err(xa_misplaced("an XA START")),
            QueryKind::Commit | QueryKind::XaCommit if group.xa.is_some() => return Err(xa_misplaced("a COMMIT")),
            QueryKind::Begin => {
                group.has_begun = true;
                Step::Nothing
            }
            QueryKind::XaStart => {
                group.has_begun = true;
                group.xa = Some(XaTransaction::new(query.xid())?);
                Step::Nothing
            }
            QueryKind::Savepoint | QueryKind::XaEnd => Step::Nothing,
            QueryKind::Commit => self.end_group(span),
            QueryKind::Rollback => {
                self.end_group(span);
                Step::RolledBack("a group of non-transactional changes ended in ROLLBACK")
            }
            QueryKind::XaCommit => self.xa_commit(&query.xid(), span),
            QueryKind::XaRollback => {
                self.decide(&query.xid(), span);
                Step::Nothing
            }
            QueryKind::Other => {
                let has_begun = group.has_begun;
                let start = Arc::clone(self.resume());
                if !has_begun {
                    self.end_group(span);
                }
                Step::Statement(query, start)
            }
        })
    }

    /// A transaction committed in one phase has its outcome here.
    fn xa_prepare<'a>(&mut self, prepare: &XaPrepare, span: EventSpan) -> Result<Step<'a>> {
        let start = Arc::clone(self.resume());
        let group = self.group.as_mut();
        let Some((transaction, gtid)) = group.and_then(|group| Some((group.xa.take()?, &mut group.gtid))) else {
            return Err(Error::new(ErrorKind::CorruptStream, "an XA_PREPARE event without its XA START"));
        };
        if !prepare.one_phase {
            let over = self.undecided.add(transaction, gtid.take(), Arc::clone(&self.end))?;
            self.add_prepare(over);
            return Ok(self.end_group(span));
        }
        self.end_group(span);
        Ok(Step::XaCommitted(transaction, start))
    }

    fn xa_commit<'a>(&mut self, xid: &str, span: EventSpan) -> Step<'a> {
        let start = Arc::clone(self.resume());
        let is_settled = self.end.settled_xids.contains(xid);
        self.undecided.settle(xid);
        match self.decide(xid, span) {
            Some(transaction) => Step::XaCommitted(transaction, start),
            None if is_settled => Step::Nothing,
            None => Step::UnknownXaCommit(xid.to_owned()),
        }
    }

    /// The outcome of a prepared transaction, which ends a group of its own.
    fn decide(&mut self, xid: &str, span: EventSpan) -> Option<XaTransaction> {
        let (transaction, gtid) = self.undecided.take(xid).unzip();
        self.add_prepare(gtid.flatten());
        Arc::make_mut(&mut self.end).settled_xids.remove(xid);
        self.end_group(span);
        transaction
    }

    /// The prepare of a transaction that is over need not come again.
    fn add_prepare(&mut self, gtid: Option<Gtid>) {
        if let (Some(gtid), Some(set)) = (&gtid, &mut Arc::make_mut(&mut self.end).gtid_set) {
            set.add(gtid);
        }
    }

    fn end_group<'a>(&mut self, span: EventSpan) -> Step<'a> {
        let group = self.group.take().unwrap_or_default();
        let end = Arc::make_mut(&mut self.end);
        self.file.clone_into(&mut end.file);
        reach(end, span.offset + span.len as u64);
        if group.commit_us > 0 {
            end.last_commit_us = group.commit_us;
            self.undecided.committed_at(group.commit_us);
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

    fn rotate<'a>(&mut self, rotate: &Rotate) -> Result<Step<'a>> {
        if log_name(&rotate.file) != log_name(&self.file) {
            let text = format!("{} follows {}: the numbers of another binary log begin anew", rotate.file, self.file);
            return Err(Error::new(ErrorKind::LostPosition, text));
        }
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
        Ok(if is_cut { Step::RolledBack(CUT) } else { Step::Nothing })
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
        match &self.reached().gtid_set {
            Some(ours) if !ours.contains_set(&previous) => {
                let text = format!(
                    "{} starts after transactions {previous}, of which the stream has seen only {ours}: transactions are \
                     missing; copy the tables anew",
                    self.file
                );
                return Err(Error::new(ErrorKind::LostPosition, text));
            }
            // The GTID of an undecided prepare would be in it, and a restart would miss its rows.
            // An empty one tells nothing: what came before may be anonymous, and GTIDs may be off.
            None if self.undecided.is_empty() && !previous.is_empty() => {
                Arc::make_mut(&mut self.end).gtid_set = Some(previous);
            }
            Some(_) | None => {}
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

fn unsupported(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedEvent, text)
}

/// Whose rows are held cannot end like others: they would be lost.
fn xa_misplaced(what: &str) -> Error {
    let text = format!("{what} inside a transaction that began with XA START, or behind BEGIN: no server writes that");
    Error::new(ErrorKind::CorruptStream, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "binlog.000007";
    const UUID: [u8; 16] = [7; 16];

    struct Rig {
        stream: Stream,
        offset: u64,
    }

    impl Rig {
        fn new(gtid_set: Option<&str>) -> Self {
            let gtid_set = gtid_set.map(|text| GtidSet::parse(text).unwrap());
            let start = Position { file: FILE.to_owned(), offset: 1000, gtid_set, ..Position::default() };
            let mut rig = Self { stream: Stream::new(Timeline { number: 1, base_file: 6 }, start), offset: 1000 };
            rig.connect(FILE, 1000);
            rig
        }

        /// What every dump begins with.
        fn connect(&mut self, file: &str, offset: u64) {
            let body = [&offset.to_le_bytes()[..], file.as_bytes()].concat();
            assert_eq!(self.event(4, 0x20, 0, &body), "Nothing");
            self.offset = offset;
        }

        fn event(&mut self, code: u8, flags: u16, offset: u64, body: &[u8]) -> String {
            let len = 19 + body.len() + 4;
            let size = u32::try_from(len).unwrap().to_le_bytes();
            let header = [&[0; 4][..], &[code], &[0; 4], &size, &[0; 4], &flags.to_le_bytes()].concat();
            let bytes = [&header, body, &[0; 4]].concat();
            let span = EventSpan { start: 0, len, offset };
            match self.stream.advance(&bytes, span) {
                Ok(step) => format!("{step:?}").split(['(', ' ']).next().unwrap().to_owned(),
                Err(error) => error.text.clone(),
            }
        }

        /// The next event of the file.
        fn next(&mut self, code: u8, body: &[u8]) -> String {
            let offset = self.offset;
            self.offset += 19 + body.len() as u64 + 4;
            self.event(code, 0, offset, body)
        }

        fn gtid(&mut self, gno: u64) -> String {
            self.next(33, &[&[0][..], &UUID, &gno.to_le_bytes()].concat())
        }

        fn query(&mut self, sql: &str) -> String {
            self.next(2, &[&[0; 13][..], &[0], sql.as_bytes()].concat())
        }

        fn transaction(&mut self, gno: u64) {
            assert_eq!([self.gtid(gno), self.query("BEGIN"), self.next(16, &[0; 8])], ["Nothing"; 3]);
        }

        fn set(&self) -> String {
            self.stream.end().gtid_set.as_ref().map_or("none".to_owned(), ToString::to_string)
        }
    }

    const ONE: &str = "07070707-0707-0707-0707-070707070707:1";

    #[test]
    fn the_end_moves_when_a_group_ends() {
        let mut rig = Rig::new(Some(ONE));
        rig.gtid(2);
        rig.query("BEGIN");
        assert_eq!((rig.stream.end().offset, rig.set().as_str()), (1000, ONE));
        rig.next(16, &[0; 8]);
        assert_eq!((rig.stream.end().offset, rig.set()), (rig.offset, format!("{ONE}-2")));
        rig.gtid(3);
        assert_eq!(rig.query("CREATE TABLE t (id INT)"), "Statement");
        assert_eq!((rig.stream.end().offset, rig.set()), (rig.offset, format!("{ONE}-3")), "DDL ends its group");
        rig.gtid(4);
        rig.query("BEGIN");
        assert_eq!(rig.query("INSERT INTO t VALUES (1)"), "Statement");
        assert!(rig.stream.end().offset < rig.offset, "a statement within a group does not");
    }

    #[test]
    fn a_rotation_sets_the_end_in_the_next_file() {
        let mut rig = Rig::new(None);
        rig.transaction(2);
        let next = [&4_u64.to_le_bytes()[..], b"binlog.000008"].concat();
        assert_eq!(rig.next(4, &next), "Nothing");
        assert_eq!((rig.stream.end().file.as_str(), rig.stream.end().offset), ("binlog.000008", 4));
        rig.connect("binlog.000008", 4);
        rig.transaction(3);
        assert_eq!((rig.stream.end().file.as_str(), rig.stream.end().offset), ("binlog.000008", rig.offset));
        assert_eq!(rig.stream.version(9).0, 1 << 54 | 2 << 34 | 9);
    }

    #[test]
    fn a_set_is_complete_from_a_files_beginning_until_an_anonymous_transaction() {
        let mut rig = Rig::new(None);
        rig.transaction(2);
        assert_eq!(rig.set(), "none", "what came before is not known");
        rig.next(35, &GtidSet::parse(ONE).unwrap().encode_for_dump());
        rig.transaction(2);
        assert_eq!(rig.set(), format!("{ONE}-2"));
        rig.next(34, &[&[0][..], &UUID, &[0; 8]].concat());
        assert_eq!(rig.set(), "none");
        let mut rig = Rig::new(Some(ONE));
        let text = rig.next(35, &GtidSet::parse(&format!("{ONE}-3")).unwrap().encode_for_dump());
        assert!(text.contains("transactions are missing"), "{text}");
    }

    #[test]
    fn a_group_without_an_end_did_not_happen() {
        let mut rig = Rig::new(Some(ONE));
        rig.gtid(2);
        rig.query("BEGIN");
        let begun = rig.offset;
        assert_eq!(rig.gtid(2), "RolledBack", "cut within one connection");
        rig.query("BEGIN");
        assert_eq!(rig.stream.reconnecting().offset, 1000);
        rig.connect(FILE, begun);
        assert_eq!(rig.gtid(2), "Nothing", "the same comes again after a reconnect");
        rig.query("BEGIN");
        rig.stream.reconnecting();
        rig.stream.reconnecting();
        rig.connect("binlog.000008", 4);
        assert_eq!(rig.gtid(2), "RolledBack", "another comes in its place");
        rig.query("BEGIN");
        assert_eq!(rig.query("ROLLBACK"), "RolledBack");
    }

    /// XA START, XA END and XA_PREPARE of the xid 'a'.
    fn prepare(rig: &mut Rig, gno: u64, one_phase: u8) -> String {
        prepare_of(rig, 'a', gno, one_phase)
    }

    fn prepare_of(rig: &mut Rig, xid: char, gno: u64, one_phase: u8) -> String {
        let byte = u8::try_from(xid).unwrap();
        rig.gtid(gno);
        rig.query(&format!("XA START X'{byte:x}',X'',1"));
        assert!(rig.stream.in_xa());
        rig.query(&format!("XA END X'{byte:x}',X'',1"));
        let step = rig.next(38, &[one_phase, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, byte]);
        assert!(!rig.stream.in_xa());
        step
    }

    #[test]
    fn an_undecided_prepare_is_missing_from_the_set_that_is_saved() {
        let mut rig = Rig::new(Some(ONE));
        assert_eq!(prepare(&mut rig, 2, 0), "Nothing");
        rig.transaction(3);
        assert_eq!((rig.set(), rig.stream.resume().offset), (format!("{ONE}:3"), rig.offset));
        assert_eq!(rig.stream.reached().gtid_set.unwrap().to_string(), format!("{ONE}-3"));
        let previous = GtidSet::parse(&format!("{ONE}-3")).unwrap().encode_for_dump();
        assert_eq!(rig.next(35, &previous), "Nothing", "the next file knows the prepare");
        rig.gtid(4);
        assert_eq!(rig.query("XA COMMIT X'61',X'',1"), "XaCommitted");
        assert_eq!(rig.set(), format!("{ONE}-4"));
        rig.gtid(5);
        assert_eq!(rig.query("XA COMMIT X'61',X'',1"), "UnknownXaCommit");
    }

    #[test]
    fn without_gtid_a_restart_goes_on_before_the_oldest_prepare() {
        let mut rig = Rig::new(None);
        rig.transaction(1);
        let before = rig.offset;
        prepare(&mut rig, 2, 0);
        rig.transaction(3);
        assert_eq!((rig.stream.resume().offset, rig.stream.end().offset), (before, rig.offset));
        assert_eq!(rig.stream.reconnecting().offset, rig.offset, "this process has the rows");
        rig.connect(FILE, rig.offset);
        rig.next(35, &GtidSet::parse(ONE).unwrap().encode_for_dump());
        assert_eq!(rig.set(), "none", "a set would hold the prepare");
        rig.gtid(4);
        assert_eq!(rig.query("XA ROLLBACK X'61',X'',1"), "Nothing");
        assert_eq!(rig.stream.resume().offset, rig.offset);
    }

    /// A group with the outcome of the xid that is this character.
    fn outcome(rig: &mut Rig, what: &str, xid: char) -> String {
        rig.gtid(9);
        rig.query(&format!("XA {what} X'{:x}',X'',1", u8::try_from(xid).unwrap()))
    }

    /// What [`Stream::resume`] lists, one character each.
    fn listed(rig: &Rig) -> String {
        let digits = |xid: &String| u8::from_str_radix(&xid[2..4], 16).unwrap();
        rig.stream.resume().settled_xids.iter().map(digits).map(char::from).collect()
    }

    /// Another process, which goes on from there.
    fn restart(rig: &Rig) -> Rig {
        let start = Position::clone(rig.stream.resume());
        let offset = start.offset;
        let mut next = Rig { stream: Stream::new(Timeline { number: 1, base_file: 6 }, start), offset };
        next.connect(FILE, offset);
        next
    }

    #[test]
    fn a_restart_passes_over_outcomes_of_prepares_that_it_does_not_see() {
        let mut rig = Rig::new(None);
        prepare_of(&mut rig, 'a', 1, 0);
        prepare_of(&mut rig, 'b', 2, 0);
        let before_c = rig.offset;
        prepare_of(&mut rig, 'c', 3, 0);
        assert_eq!(outcome(&mut rig, "COMMIT", 'b'), "XaCommitted");
        assert_eq!(listed(&rig), "", "all three are prepared again");
        assert_eq!(outcome(&mut rig, "COMMIT", 'a'), "XaCommitted");
        assert_eq!((rig.stream.resume().offset, listed(&rig)), (before_c, "ab".to_owned()));
        prepare_of(&mut rig, 'a', 4, 0);
        assert_eq!(outcome(&mut rig, "COMMIT", 'a'), "XaCommitted");
        assert_eq!(listed(&rig), "ab");

        let mut next = restart(&rig);
        prepare_of(&mut next, 'c', 3, 0);
        assert_eq!(outcome(&mut next, "COMMIT", 'b'), "Nothing");
        let before_d = next.offset;
        prepare_of(&mut next, 'd', 9, 0);
        assert_eq!(outcome(&mut next, "COMMIT", 'c'), "XaCommitted");
        assert_eq!((next.stream.resume().offset, listed(&next)), (before_d, "ac".to_owned()), "of both processes");
        assert_eq!(outcome(&mut next, "COMMIT", 'a'), "Nothing");
        assert_eq!(outcome(&mut next, "COMMIT", 'a'), "UnknownXaCommit", "once");
        assert_eq!((outcome(&mut next, "COMMIT", 'd'), listed(&next)), ("XaCommitted".to_owned(), String::new()));
    }

    #[test]
    fn the_outcome_of_a_listed_xid_takes_it_off() {
        let mut rig = Rig::new(None);
        for xid in ['a', 'b', 'c'] {
            prepare_of(&mut rig, xid, 1, 0);
        }
        outcome(&mut rig, "COMMIT", 'a');
        outcome(&mut rig, "COMMIT", 'b');
        let mut next = restart(&rig);
        assert_eq!(listed(&next), "ab");
        prepare_of(&mut next, 'a', 1, 0);
        assert_eq!(outcome(&mut next, "COMMIT", 'a'), "XaCommitted", "its rows were seen");
        outcome(&mut next, "ROLLBACK", 'b');
        assert_eq!((outcome(&mut next, "COMMIT", 'b').as_str(), listed(&next).as_str()), ("UnknownXaCommit", ""));
    }

    #[test]
    fn only_what_a_position_lies_within_is_listed() {
        let mut rig = Rig::new(None);
        prepare_of(&mut rig, 'a', 1, 0);
        for xid in ['b', 'c', 'd'] {
            prepare_of(&mut rig, xid, 1, 0);
            outcome(&mut rig, if xid == 'c' { "ROLLBACK" } else { "COMMIT" }, xid);
        }
        prepare_of(&mut rig, 'e', 1, 0);
        outcome(&mut rig, "COMMIT", 'a');
        assert_eq!(listed(&rig), "a");
        outcome(&mut rig, "ROLLBACK", 'e');
        assert_eq!((listed(&rig), rig.stream.resume().offset), (String::new(), rig.offset));

        let mut rig = Rig::new(None);
        for xid in ['a', 'b', 'c', 'd'] {
            prepare_of(&mut rig, xid, 1, 0);
        }
        outcome(&mut rig, "COMMIT", 'c');
        outcome(&mut rig, "ROLLBACK", 'a');
        assert_eq!(listed(&rig), "", "c is prepared after b");
        prepare_of(&mut rig, 'e', 1, 0);
        outcome(&mut rig, "ROLLBACK", 'd');
        outcome(&mut rig, "COMMIT", 'b');
        assert_eq!(listed(&rig), "b", "c was committed before e");

        let mut rig = Rig::new(Some(ONE));
        for xid in ['a', 'b'] {
            prepare_of(&mut rig, xid, 2, 0);
        }
        outcome(&mut rig, "COMMIT", 'a');
        assert_eq!(listed(&rig), "", "by GTID the server sends the prepares again");
    }

    /// `SET sql_log_bin = 0` hides an outcome; the xid is free for the next.
    #[test]
    fn a_prepare_of_the_same_xid_ends_the_one_before() {
        let mut rig = Rig::new(Some(ONE));
        prepare(&mut rig, 2, 0);
        rig.transaction(3);
        prepare(&mut rig, 4, 0);
        assert_eq!(rig.set(), format!("{ONE}-3"));
        let previous = GtidSet::parse(&format!("{ONE}-4")).unwrap().encode_for_dump();
        assert_eq!(rig.next(35, &previous), "Nothing", "nothing is missing");
        rig.gtid(5);
        assert_eq!(rig.query("XA COMMIT X'61',X'',1"), "XaCommitted");
        assert_eq!(rig.set(), format!("{ONE}-5"));
    }

    #[test]
    fn held_rows_do_not_get_lost_in_an_end_that_is_none() {
        for (end, sql) in [(16, ""), (2, "COMMIT"), (2, "XA COMMIT X'61',X'',1"), (2, "XA START X'62',X'',1")] {
            let mut rig = Rig::new(Some(ONE));
            rig.gtid(2);
            rig.query("XA START X'61',X'',1");
            let text = if end == 16 { rig.next(16, &[0; 8]) } else { rig.query(sql) };
            assert!(text.contains("no server writes that"), "{text}");
        }
        let mut rig = Rig::new(Some(ONE));
        rig.gtid(2);
        rig.query("BEGIN");
        assert!(rig.query("XA START X'61',X'',1").contains("no server writes that"));
        rig.gtid(2);
        let text = rig.query(&format!("XA START X'{}',X'',1", "0".repeat(300)));
        assert!(text.contains("xid of more than"), "{text}");
    }

    #[test]
    fn one_phase_is_an_outcome() {
        let mut rig = Rig::new(Some(ONE));
        assert_eq!(prepare(&mut rig, 2, 1), "XaCommitted");
        assert_eq!(rig.set(), format!("{ONE}-2"));
        let step = rig.next(38, &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'a']);
        assert!(step.contains("without its XA START"), "{step}");
    }

    #[test]
    fn a_compressed_transaction_ends_where_its_event_ends() {
        let mut rig = Rig::new(Some(ONE));
        rig.gtid(2);
        let offset = rig.offset;
        assert!(rig.next(40, &[2, 1]).contains("truncated"));
        rig.offset = offset;
        assert_eq!(rig.next(40, &[2, 3, 252, 255, 0, 0]), "Payload");
        let payload = EventSpan { start: 0, len: usize::try_from(rig.offset - offset).unwrap(), offset };
        let mut inside = |code: u8, body: &[u8]| {
            let size = u32::try_from(19 + body.len()).unwrap().to_le_bytes();
            let bytes = [&[0; 4][..], &[code], &[0; 4], &size, &[0; 6], body].concat();
            let step = rig.stream.advance_inside(&Event::parse(&bytes, false).unwrap(), payload);
            let step = step.map(|step| format!("{step:?}")).map_err(|error| error.text.clone());
            (step, rig.stream.end().offset)
        };
        let begin = [&[0; 13][..], &[0], b"BEGIN"].concat();
        assert_eq!(inside(2, &begin), (Ok("Nothing".to_owned()), 1000));
        assert_eq!(inside(16, &[0; 8]), (Ok("Nothing".to_owned()), offset + payload.len as u64));
        assert!(inside(2, &begin).0.unwrap_err().contains("behind the end"));
        assert_eq!(rig.set(), format!("{ONE}-2"));
    }

    #[test]
    fn unknown_kinds_are_skipped_only_when_they_say_so() {
        let mut rig = Rig::new(None);
        assert_eq!(rig.event(100, 0x80, 1000, &[1]), "Nothing");
        assert!(rig.event(100, 0, 1000, &[1]).contains("event type 100"));
        assert!(rig.event(40, 0, 1000, &[]).contains("without the GTID event"));
        assert!(rig.event(162, 0, 1000, &[0; 19]).contains("MariaDB"));
    }

    #[test]
    fn without_gtid_the_end_stays_where_a_dump_can_start() {
        let mut rig = Rig::new(None);
        rig.transaction(2);
        let end = rig.offset;
        rig.offset = 1 << 32;
        rig.transaction(3);
        assert_eq!(rig.stream.end().offset, end);
        let mut rig = Rig::new(Some(ONE));
        rig.offset = 1 << 32;
        rig.transaction(2);
        assert_eq!(rig.stream.end().offset, rig.offset);
    }
}
