//! The kinds of events by their type codes, MySQL's and MariaDB's.

/// What an event is. Names are MySQL's and MariaDB's, without `_EVENT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Start of a file of binlog versions before 4.
    StartV3,
    /// A statement: BEGIN, DDL, statement-format DML, ..
    Query,
    /// The server shut down.
    Stop,
    /// The next file.
    Rotate,
    /// Statement format: LAST_INSERT_ID, INSERT_ID.
    Intvar,
    /// Statement format of old servers.
    Load,
    /// Never written.
    Slave,
    /// Statement format of old servers.
    CreateFile,
    /// Statement format.
    AppendBlock,
    /// Statement format of old servers.
    ExecLoad,
    /// Statement format.
    DeleteFile,
    /// Statement format of old servers.
    NewLoad,
    /// Statement format: seeds of RAND().
    Rand,
    /// Statement format: a user variable.
    UserVar,
    /// Start of a file: how its events are laid out.
    FormatDescription,
    /// Commit.
    Xid,
    /// Statement format.
    BeginLoadQuery,
    /// Statement format.
    ExecuteLoadQuery,
    /// A table's id, name and columns.
    TableMap,
    /// Rows events of 5.1 betas.
    PreGaWriteRows,
    /// Likewise.
    PreGaUpdateRows,
    /// Likewise.
    PreGaDeleteRows,
    /// Rows events of MySQL 5.1..5.5 and MariaDB.
    WriteRowsV1,
    /// Likewise.
    UpdateRowsV1,
    /// Likewise.
    DeleteRowsV1,
    /// Data is lost.
    Incident,
    /// Nothing to send.
    Heartbeat,
    /// Never written.
    Ignorable,
    /// The text of the statement behind the rows that follow.
    RowsQuery,
    /// Inserted rows.
    WriteRows,
    /// Updated rows.
    UpdateRows,
    /// Deleted rows.
    DeleteRows,
    /// Start of a transaction.
    Gtid,
    /// Start of a transaction without a GTID.
    AnonymousGtid,
    /// GTIDs of all files before.
    PreviousGtids,
    /// Group Replication.
    TransactionContext,
    /// Group Replication.
    ViewChange,
    /// An XA transaction is prepared.
    XaPrepare,
    /// Updated rows with JSON diffs.
    PartialUpdateRows,
    /// A compressed transaction.
    TransactionPayload,
    /// Nothing to send; carries a 64-bit position.
    HeartbeatV2,
    /// Start of a transaction whose GTID has a tag.
    GtidTagged,
    /// MariaDB: text of the statement behind the rows that follow.
    MariadbAnnotateRows,
    /// MariaDB.
    MariadbBinlogCheckpoint,
    /// MariaDB: start of a transaction.
    MariadbGtid,
    /// MariaDB: GTIDs of all files before.
    MariadbGtidList,
    /// MariaDB.
    MariadbStartEncryption,
    /// MariaDB.
    MariadbQueryCompressed,
    /// MariaDB: compressed rows event, v1 or v2.
    MariadbRowsCompressed(u8),
    /// A code that this version does not know; skipped only when the header says that it may be.
    Unknown(u8),
}

/// The kind of each code: looked up several times for each event.
#[expect(clippy::indexing_slicing, reason = "when it is compiled")]
static KINDS: [EventKind; 256] = {
    let mut kinds = [EventKind::Unknown(0); 256];
    let mut code = 0;
    while code < kinds.len() {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let kind = EventKind::of(code as u8);
        kinds[code] = kind;
        code += 1;
    }
    kinds
};

impl EventKind {
    /// The kind of a type code.
    #[inline]
    pub fn from_code(code: u8) -> Self {
        KINDS.get(usize::from(code)).copied().unwrap_or(Self::Unknown(code))
    }

    const fn of(code: u8) -> Self {
        match code {
            1 => Self::StartV3,
            2 => Self::Query,
            3 => Self::Stop,
            4 => Self::Rotate,
            5 => Self::Intvar,
            6 => Self::Load,
            7 => Self::Slave,
            8 => Self::CreateFile,
            9 => Self::AppendBlock,
            10 => Self::ExecLoad,
            11 => Self::DeleteFile,
            12 => Self::NewLoad,
            13 => Self::Rand,
            14 => Self::UserVar,
            15 => Self::FormatDescription,
            16 => Self::Xid,
            17 => Self::BeginLoadQuery,
            18 => Self::ExecuteLoadQuery,
            19 => Self::TableMap,
            20 => Self::PreGaWriteRows,
            21 => Self::PreGaUpdateRows,
            22 => Self::PreGaDeleteRows,
            23 => Self::WriteRowsV1,
            24 => Self::UpdateRowsV1,
            25 => Self::DeleteRowsV1,
            26 => Self::Incident,
            27 => Self::Heartbeat,
            28 => Self::Ignorable,
            29 => Self::RowsQuery,
            30 => Self::WriteRows,
            31 => Self::UpdateRows,
            32 => Self::DeleteRows,
            33 => Self::Gtid,
            34 => Self::AnonymousGtid,
            35 => Self::PreviousGtids,
            36 => Self::TransactionContext,
            37 => Self::ViewChange,
            38 => Self::XaPrepare,
            39 => Self::PartialUpdateRows,
            40 => Self::TransactionPayload,
            41 => Self::HeartbeatV2,
            42 => Self::GtidTagged,
            160 => Self::MariadbAnnotateRows,
            161 => Self::MariadbBinlogCheckpoint,
            162 => Self::MariadbGtid,
            163 => Self::MariadbGtidList,
            164 => Self::MariadbStartEncryption,
            165 => Self::MariadbQueryCompressed,
            166..=171 => Self::MariadbRowsCompressed(code),
            _ => Self::Unknown(code),
        }
    }
}
