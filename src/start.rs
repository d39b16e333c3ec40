//! Where to go on: from the newest checkpoint, or from a first position; and with which tables.
//!
//! Order matters here. Everything that may refuse comes first, so a refused start has created nothing. Then the targets
//! are created, the tables' states saved, and last the claim is saved: the first checkpoint, before the first row.
//! Before all that comes the pipeline's lock: it refuses a second copy ([`crate::guard`]). A pipeline that has a checkpoint
//! is claimed before its states are read, so that they are not changed by another process from then on.
//!
//! A first start with `start = "snapshot"` takes its position **before** it looks whether the tables are empty: rows that
//! come between the two are in the stream. Tables with rows are copied while the stream goes on. A transaction that is
//! prepared (XA) at the position is in neither until it is decided; so that is waited for, before a copy reads anything.
//! With another start the rows below the position are missing, and the tables say so: `unverified`.
//!
//! Whatever has no empty target of its own is copied beside it ([`crate::router::resync`]): targets that have rows already,
//! tables that are chosen later, and all tables when the source no longer has our position. Such a table is saved as set
//! aside, with a shadow that is still to be made, so that a restart does not forget it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::check::{self, Inspected, Inspection, misfits};
use crate::checkpoint::{Checkpoint, CopyChunk, SavedSchema, Shadow, Store, TableState};
use crate::clickhouse::exchange::{self, shadow_name, table_of};
use crate::clickhouse::{Client, barrier, keyless, tables as targets};
use crate::config::{Config, OnFailure, table_name};
use crate::error::{Action, Error, ErrorKind, Problem, Result};
use crate::gtid::GtidSet;
use crate::guard;
use crate::message::{CopyOrder, TableIndex};
use crate::mysql::lock::Lock;
use crate::mysql::source::{ServerFacts, Source};
use crate::position::{Position, Version};
use crate::router::policy;
use crate::router::resync::BegunResync;
use crate::router::tables::{DROPPED, GONE, Shape, State, Table};
use crate::schema::catalog::{Definition, Known, SourceTable};
use crate::schema::mapping::TargetFeatures;
use crate::schema::target::{Ddl, DdlAction, Exchange, TargetTable};
use crate::schema::types::TableName;
use crate::snapshot::renew_plan;
use crate::writer::query_id_prefix;

mod first;

use first::{begin_anew, first_start, wait_for_prepared};

/// How long an insert of a killed process may keep a schema change waiting.
const PENDING_PATIENCE: Duration = Duration::from_secs(20);
const PENDING_INTERVAL: Duration = Duration::from_millis(50);
/// `verify --repair` writes versions that lie up to so many bytes behind a transaction's end.
const REPAIRS_MAX: u64 = 18;

/// What the engine wires.
#[derive(Debug)]
pub struct Prepared {
    /// The target.
    pub client: Arc<Client>,
    /// The pipeline's saved state.
    pub store: Arc<Store>,
    /// The checkpoint to go on from, saved as this process's own.
    pub claim: Checkpoint,
    /// The chosen tables.
    pub tables: Vec<Table>,
    /// The copies of those in the state `snapshot`, and those into shadows that are there.
    pub copies: Vec<CopyOrder>,
    /// The shadows, which follow the tables in this order.
    pub resyncs: Vec<BegunResync>,
    /// Tables whose shadows are still to be made.
    pub wanted: Vec<TableIndex>,
    /// How the source reads names and dates.
    pub rules: SourceRules,
    /// What keeps a second copy out.
    pub lock: Lock,
    /// The replica id to read the binary log with.
    pub server_id: u32,
}

/// How the source reads names and dates.
#[derive(Debug, Clone, Copy)]
pub struct SourceRules {
    /// Whether it compares table names without case.
    pub ignores_case: bool,
    /// Whether it stores them in lower case.
    pub lowers_names: bool,
    /// Whether rows that a foreign key changes by itself are in its binary log.
    pub logs_cascades: bool,
    /// Whether its own time zone may have hours that come twice.
    pub may_repeat_hours: bool,
    /// Whether it lets zero and partial dates in.
    pub allows_zero_dates: bool,
}

/// Looks at both servers, decides where to go on, creates what is missing, and claims the pipeline.
///
/// # Errors
/// Everything that stands in the way; nothing was created then, unless a server failed half-way.
pub fn prepare(config: &Config) -> Result<Prepared> {
    let inspection = check::inspect(config);
    inspection.refuse_as_a_whole()?;
    inspection.notes.iter().for_each(|note| log::info!("{note}"));
    let (Some(client), Some(facts)) = (&inspection.client, &inspection.facts) else {
        return Err(Error::new(ErrorKind::SourceRefused, "a server did not answer"));
    };
    let store = Arc::new(Store::new(Arc::clone(client), &config.state.database, &config.name, Uuid::new_v4()));
    let lock = guard::enter(config, client, &store)?;
    let mut source = Source::connect(&config.mysql)?;
    let server_id = source.free_server_id(&config.mysql, &config.name, facts.server_id)?;
    let saved = store.load()?;
    let is_created = saved.is_some();
    if is_created {
        // What the tables of an earlier version lack.
        store.create(config.state.checkpoint_ttl)?;
    }
    let saved = saved.map(|saved| guard::claim(client, &store, saved)).transpose()?;
    let mut begun = begin(config, &mut source, client, facts, &store, &inspection, saved)?;
    if begun.is_new {
        begun.wait_for_prepared(&mut source)?;
    }
    if !is_created {
        store.create(config.state.checkpoint_ttl)?;
    }
    let needs_chunks = begun.is_new || begun.tables.iter().any(Chosen::is_copied);
    let saved = if needs_chunks { store.load_chunks()? } else { Vec::new() };
    if begun.is_new {
        // Whoever begins anew may have left the chunks of copies before: those are not ours.
        let before = saved.iter().map(|chunk| Version(chunk.version).timeline()).max();
        let timeline = &mut begun.checkpoint.timeline;
        timeline.number = timeline.number.max(before.unwrap_or_default() + 1);
    }
    let states = store.load_table_states()?;
    set_aside_unchosen(&store, &states, &begun.tables)?;
    sweep_copies(config, client, &store, &states, &begun.tables)?;
    let claim = begun.checkpoint;
    let (on_failure, made) = (config.ddl.on_failure, Made::default());
    let mut starting = Starting { client, store: &store, claim: &claim, saved: &saved, on_failure, made };
    begun.tables.into_iter().try_for_each(|table| starting.make(table))?;
    let Made { tables, copies, resyncs, shadow_copies, wanted } = starting.made;
    let shadow_copies = shadow_copies.into_iter().enumerate();
    let shadow_copies = shadow_copies.map(|(number, order)| CopyOrder { index: tables.len() + number, ..order });
    let copies = copies.into_iter().chain(shadow_copies).collect();
    let claim = if begun.is_new { guard::claim(client, &store, claim)? } else { claim };
    log::info!("going on from {}:{} as checkpoint {}", claim.position.file, claim.position.offset, claim.seq);
    Ok(Prepared {
        client: Arc::clone(client),
        store,
        claim,
        tables,
        copies,
        resyncs,
        wanted,
        rules: SourceRules::of(facts),
        lock,
        server_id,
    })
}

impl SourceRules {
    /// Those of this source.
    pub fn of(facts: &ServerFacts) -> Self {
        Self {
            ignores_case: facts.lower_case_table_names != 0,
            lowers_names: facts.lower_case_table_names == 1,
            logs_cascades: facts.logs_cascades(),
            may_repeat_hours: facts.may_repeat_hours(),
            allows_zero_dates: facts.allows_zero_dates(),
        }
    }
}

/// What a start would do with a table that nothing stands in the way of.
#[derive(Debug)]
pub struct Foreseen {
    /// The table.
    pub inspected: Inspected,
    /// The state that it starts in.
    pub state: State,
    /// Why it is in this state, or is copied.
    pub reason: String,
    /// A schema change that was about to be made.
    pub pending: Option<Ddl>,
    /// Whether it is copied beside its target.
    pub is_copied: bool,
    /// Whether its target is made.
    pub is_created: bool,
}

/// What a start would do with the inspected tables. It only looks.
///
/// # Errors
/// What refuses the start.
pub fn foresee(config: &Config, inspection: &Inspection) -> Result<Vec<Foreseen>> {
    let (Some(client), Some(facts)) = (&inspection.client, &inspection.facts) else { return Ok(Vec::new()) };
    let mut source = Source::connect(&config.mysql)?;
    let store = Store::new(Arc::clone(client), &config.state.database, &config.name, Uuid::nil());
    let saved = store.load()?;
    let begun = begin(config, &mut source, client, facts, &store, inspection, saved)?;
    Ok(begun.tables.into_iter().map(Chosen::foreseen).collect())
}

/// Decides where to go on, and changes nothing.
fn begin(
    config: &Config,
    source: &mut Source,
    client: &Client,
    facts: &ServerFacts,
    store: &Store,
    inspection: &Inspection,
    saved: Option<Checkpoint>,
) -> Result<Begun> {
    match saved {
        Some(saved) => match lost(source, client, &saved, facts, inspection)? {
            None => resume(config, store, saved, inspection),
            Some(why) => begin_anew(config, source, client, inspection, &saved, &why),
        },
        None => {
            let unfinished = inspection.unfinished(config, store)?;
            inspection.refuse_but_for(&unfinished)?;
            first_start(config, source, client, inspection, &unfinished)
        }
    }
}

/// Where to begin, and with what.
struct Begun {
    checkpoint: Checkpoint,
    tables: Vec<Chosen>,
    /// Whether positions begin anew here.
    is_new: bool,
}

impl Begun {
    /// Waits until the transactions that are prepared now are decided, if anything is to be copied. An account that may
    /// not see them goes on: the stream then says which tables may lack rows.
    fn wait_for_prepared(&mut self, source: &mut Source) -> Result<()> {
        if !self.tables.iter().any(Chosen::is_copied) {
            return Ok(());
        }
        let decided = wait_for_prepared(source)?;
        if !decided.is_empty() {
            // They may have written to a table that looked empty before.
            let empty = self.tables.iter_mut().filter(|table| table.state == State::Streaming);
            empty.for_each(|table| table.state = State::Snapshot);
        }
        // The copies see them.
        self.checkpoint.position.settled_xids = decided;
        Ok(())
    }
}

/// A chosen table and the state that it starts in.
struct Chosen {
    inspected: Inspected,
    state: State,
    reason: String,
    floor: u64,
    /// Its copy beside its target.
    shadow: Shadow,
    /// Its schema, as far as DDL was followed.
    schema: Option<SavedSchema>,
    /// Whether this is not what is saved.
    is_new: bool,
    /// Whether its name is no table's any more.
    is_gone: bool,
}

impl Chosen {
    fn new(inspected: Inspected, state: State, reason: &str) -> Self {
        let (reason, shadow) = (reason.to_owned(), Shadow::default());
        Self { inspected, state, reason, floor: 0, shadow, schema: None, is_new: true, is_gone: false }
    }

    /// One that is copied beside its target, for this reason.
    fn wanted(inspected: Inspected, reason: &str) -> Self {
        let shadow = Shadow { id: Uuid::new_v4(), ..Shadow::default() };
        Self { shadow, ..Self::new(inspected, State::Quarantined, reason) }
    }

    /// One whose DDL is followed from this version on.
    fn followed(mut self, since: Version) -> Self {
        let known = Known { since, definition: self.inspected.definition.clone() };
        self.schema = Some(SavedSchema { known: Some(known), ..SavedSchema::default() });
        self
    }

    /// Whether it is copied, into its target or beside it.
    fn is_copied(&self) -> bool {
        self.state == State::Snapshot || !self.shadow.id.is_nil()
    }

    /// Whether its own target is still to be made.
    fn is_created(&self) -> bool {
        self.inspected.target.is_none() && self.state != State::Quarantined
    }

    fn foreseen(self) -> Foreseen {
        let (is_copied, is_created) = (!self.shadow.id.is_nil(), self.is_created());
        let Self { inspected, state, reason, schema, .. } = self;
        let pending = schema.and_then(|schema| schema.pending).map(|ddl| *ddl);
        Foreseen { inspected, state, reason, pending, is_copied, is_created }
    }

    /// Whether its shadow is still to be made.
    fn is_wanted(&self) -> bool {
        !self.shadow.id.is_nil() && self.shadow.version == 0
    }
}

/// Drops what copies that ended without a word have left, of tables that may be chosen and of those that were replicated
/// before.
fn sweep_copies(
    config: &Config,
    client: &Client,
    store: &Store,
    states: &[TableState],
    chosen: &[Chosen],
) -> Result<()> {
    let replicated = states.iter().filter_map(|state| table_name(&state.table).ok());
    let replicated: BTreeSet<_> = replicated.map(|source| config.replicate.target_name(&source)).collect();
    let copied = chosen.iter().filter(|table| !table.shadow.id.is_nil());
    let kept = copied.map(|table| shadow_name(&table.inspected.target_name, table.shadow.id)).collect();
    let copies = exchange::Copies { kept, foreign: store.foreign_shadows()?, filled: store.filled_shadows()? };
    exchange::sweep(client, &copies, &|target| replicated.contains(target) || config.replicate.is_target(target))
}

/// Makes of the chosen tables what the engine wires.
struct Starting<'a> {
    client: &'a Client,
    store: &'a Store,
    claim: &'a Checkpoint,
    /// The chunks of copies.
    saved: &'a [CopyChunk],
    on_failure: OnFailure,
    made: Made,
}

#[derive(Default)]
struct Made {
    tables: Vec<Table>,
    copies: Vec<CopyOrder>,
    resyncs: Vec<BegunResync>,
    /// One for each of `resyncs`; their tables have no index yet.
    shadow_copies: Vec<CopyOrder>,
    wanted: Vec<TableIndex>,
}

impl Starting<'_> {
    /// Creates the target unless it is there, saves the state of a table that is new to the pipeline, and goes on with
    /// its copy.
    fn make(&mut self, mut chosen: Chosen) -> Result<()> {
        let index = self.made.tables.len();
        if let Some(ddl) = chosen.schema.as_mut().and_then(|schema| schema.pending.take()) {
            self.finish(&mut chosen, &ddl)?;
        }
        if !chosen.shadow.id.is_nil() && !chosen.is_wanted() {
            self.go_on(&mut chosen, index)?;
        }
        if chosen.is_wanted() {
            // One that was being made when the process was killed.
            let (target, id) = (&chosen.inspected.target_name, chosen.shadow.id);
            exchange::drop_shadow(self.client, &shadow_name(target, id), id)?;
            self.made.wanted.push(index);
        }
        let is_created = chosen.is_created();
        let Chosen { inspected, state, reason, floor, shadow, schema, is_new, is_gone } = chosen;
        let Inspected { source, target_name, target, copy_where, .. } = inspected;
        let target = match target {
            Some(existing) => Some(existing.table),
            None if is_created => Some(targets::create_table(self.client, &source, &target_name, None)?),
            None => None,
        };
        if is_new {
            let (table, state) = (source.name.to_string(), if is_gone { GONE } else { state.name() }.to_owned());
            self.store.save_table_state(&TableState {
                table,
                state,
                reason: reason.clone(),
                floor,
                shadow,
                schema: schema.as_ref().map(SavedSchema::to_text).unwrap_or_default(),
            })?;
        }
        if let Some(target) = target.clone().filter(|_| state == State::Snapshot) {
            let version = self.claim.timeline.first_version();
            let order =
                self.order(Uuid::nil(), source.clone(), target, copy_where, version, self.claim.position.clone())?;
            self.made.copies.push(CopyOrder { index, ..order });
        }
        let known = schema.and_then(|schema| schema.known);
        let shaped =
            known.as_ref().map(|known| known.definition.source_table(source.allows_zero_dates, source.choices.clone()));
        let shaped = shaped.as_ref().unwrap_or(&source);
        let target = match state {
            State::Drifted => target.map(|target| intended(shaped, target, self.client.target_features())),
            State::Streaming | State::Snapshot | State::Unverified | State::Quarantined => target,
        };
        let shape = target.map(|target| Shape::new(shaped, target));
        let mut table = Table::new(source.name, state, reason, shape);
        (table.floor, table.known) = (Version(floor), known);
        self.made.tables.push(table);
        Ok(())
    }

    /// Carries out the schema change that was about to be, as a killed process may have begun to do.
    fn finish(&self, chosen: &mut Chosen, ddl: &Ddl) -> Result<()> {
        let prefix = query_id_prefix(self.store.pipeline(), ddl.subject());
        let deadline = Instant::now() + PENDING_PATIENCE;
        let done = loop {
            match barrier::carry_out(self.client, ddl, &prefix) {
                Err(error) if error.kind == ErrorKind::TargetBusy && Instant::now() < deadline => {
                    std::thread::sleep(PENDING_INTERVAL);
                }
                done => break done,
            }
        };
        chosen.is_new = true;
        match done {
            Ok(()) if matches!(ddl.action, DdlAction::Drop { .. }) => {
                (chosen.state, chosen.reason) = (State::Quarantined, DROPPED.to_owned());
                (chosen.schema, chosen.is_gone) = (None, true);
            }
            Ok(()) => {
                chosen.inspected.target = targets::existing_table(self.client, &ddl.table.name)?;
            }
            Err(error) if error.action() == Action::Retry && error.kind != ErrorKind::TargetBusy => return Err(error),
            Err(error) => self.refused(chosen, ddl, &error)?,
        }
        Ok(())
    }

    /// As `ddl.on_failure` says, as while running.
    fn refused(&self, chosen: &mut Chosen, ddl: &Ddl, error: &Error) -> Result<()> {
        let is_refusal = error.kind != ErrorKind::TargetBusy;
        match self.on_failure {
            OnFailure::Stop if is_refusal => return Err(policy::stopped_by_refusal(ddl, error)),
            OnFailure::Continue if is_refusal && policy::can_go_on_without(ddl) => {
                chosen.state = State::Drifted;
                chosen.reason = policy::drifted_reason(&chosen.reason, ddl, error);
                chosen.inspected.target = targets::existing_table(self.client, &ddl.table.name)?;
            }
            OnFailure::Quarantine | OnFailure::Stop | OnFailure::Continue => {
                *chosen = Chosen::wanted(chosen.inspected.clone(), &error.to_string());
            }
        }
        Ok(())
    }

    /// Whether a table has a key, and had one when its shadow was made: only then is there a way to go on.
    fn is_keyed(&self, chosen: &Chosen, shadow: &TableName) -> Result<bool> {
        let is_log = targets::existing_table(self.client, shadow)?.is_some_and(|shadow| keyless::is_log(&shadow));
        Ok(!is_log && !chosen.inspected.source.key.is_empty())
    }

    /// Goes on with a copy into a shadow: its UUID tells how far it had got.
    fn go_on(&mut self, chosen: &mut Chosen, index: TableIndex) -> Result<()> {
        let (target, saved) = (&chosen.inspected.target_name, chosen.shadow.clone());
        // A schema change since then would have had it made anew.
        let known = chosen.schema.as_ref().and_then(|schema| schema.shadow.clone());
        let known = known.map(|definition| Known { since: Version::default(), definition });
        let shadow = shadow_name(target, saved.id);
        exchange::wait_until_still(self.client, &shadow)?;
        let place = table_of(self.client, &target.database, saved.id)?;
        if place.as_ref() == Some(target) {
            // It had become the table already; what it replaced may still be there.
            let exchange = Exchange { id: saved.id, target: target.clone(), shadow, floor: saved.version };
            exchange::exchange(self.client, &exchange, &[])?;
            (chosen.state, chosen.reason, chosen.floor) = (State::Streaming, String::new(), saved.version);
            (chosen.shadow, chosen.is_new) = (Shadow::default(), true);
            chosen.schema = Some(SavedSchema { known, ..SavedSchema::default() });
        } else if place.as_ref() == Some(&shadow) && self.is_keyed(chosen, &shadow)? {
            let table = targets::created(self.client, &shadow)?;
            let gtid_set =
                Some(saved.gtid_set.as_str()).filter(|set| !set.is_empty()).map(GtidSet::parse).transpose()?;
            let position = Position { gtid_set, ..self.claim.position.clone() };
            let source = chosen.inspected.source.clone();
            let shape = Shape::new(&source, table.clone());
            let copy_where = chosen.inspected.copy_where.clone();
            let order = self.order(saved.id, source, table, copy_where, Version(saved.version), position)?;
            self.made.shadow_copies.push(order);
            let name = chosen.inspected.source.name.clone();
            let mut shadow = Table::new(name, State::Snapshot, String::new(), Some(shape));
            // Its SELECTs have seen what lies below, and its target may refuse it already, before the exchange.
            (shadow.floor, shadow.known) = (Version(saved.version), known);
            self.made.resyncs.push(BegunResync { table: index, saved, target: target.clone(), shadow });
        } else {
            // It was never made, or somebody has dropped it; or its table has no key, so that its copy cannot be gone on with.
            exchange::drop_shadow(self.client, &shadow, saved.id)?;
            (chosen.shadow, chosen.is_new) = (Shadow { id: Uuid::new_v4(), ..Shadow::default() }, true);
            chosen.schema.iter_mut().for_each(|schema| schema.shadow = None);
        }
        Ok(())
    }

    fn order(
        &self,
        shadow: Uuid,
        source: SourceTable,
        target: TargetTable,
        copy_where: Option<String>,
        version: Version,
        position: Position,
    ) -> Result<CopyOrder> {
        let name = source.name.to_string();
        let is_own = |chunk: &&CopyChunk| chunk.table == name && chunk.version == version.0 && chunk.shadow == shadow;
        let mut saved: Vec<CopyChunk> = self.saved.iter().filter(is_own).cloned().collect();
        if renew_plan(&mut saved) {
            self.store.save_chunks(&saved)?;
        }
        let (timeline, position) = (self.claim.timeline, Arc::new(position));
        let (version, flag) = (Some(version), Arc::default());
        Ok(CopyOrder { index: 0, shadow, source, target, copy_where, version, timeline, position, saved, flag })
    }
}

/// The target of a table that goes on without a change: its rows have the columns that it lacks, too.
fn intended(source: &SourceTable, mut target: TargetTable, features: TargetFeatures) -> TargetTable {
    let wanted = targets::target_columns(source, features).unwrap_or_default();
    if source.key.is_empty() {
        target.columns.retain(|column| wanted.iter().any(|wanted| wanted.name == column.name));
    }
    let is_there = |name: &str| target.columns.iter().any(|column| column.name == name);
    let missing: Vec<_> = wanted.into_iter().filter(|column| !is_there(&column.name)).collect();
    target.columns.extend(missing);
    target
}

// --- going on ---

/// Why the source does not have the position any more, or not what followed it; `None` when it has.
fn lost(
    source: &mut Source,
    client: &Client,
    saved: &Checkpoint,
    facts: &ServerFacts,
    inspection: &Inspection,
) -> Result<Option<String>> {
    let logs = source.binary_logs()?;
    let why = lost_position(source, &saved.position, &facts.server_uuid, &logs)?;
    if why.is_some() { Ok(why) } else { lost_tail(&logs, client, saved, inspection) }
}

/// A server without `sync_binlog=1` whose machine went down may have lost what we had read already, after the checkpoint: then a
/// target has a row from beyond the end of its file. A server that starts opens a new file, so the newest is whole.
fn lost_tail(
    logs: &[(String, u64)],
    client: &Client,
    saved: &Checkpoint,
    inspection: &Inspection,
) -> Result<Option<String>> {
    let Position { file, offset, .. } = &saved.position;
    if logs.last().is_none_or(|(newest, _)| newest == file) {
        return Ok(None);
    }
    // Beyond 16 GiB there are no versions to compare with.
    let Ok(from) = saved.timeline.version(file, *offset) else { return Ok(None) };
    for table in inspection.tables.iter().filter(|table| table.target.is_some() && table.misfits.is_empty()) {
        let newest = Version(targets::max_version(client, &table.target_name)?);
        let Some((name, at)) = saved.timeline.place(newest, file).filter(|_| newest > from) else { continue };
        let size = logs.iter().find(|(log, _)| *log == name).map_or(0, |(_, size)| *size);
        if at > size + REPAIRS_MAX {
            let target = &table.target_name;
            return Ok(Some(format!(
                "the checkpoint is at {file}:{offset}, and {target} has a row from {name}:{at}, which has only {size} bytes now"
            )));
        }
    }
    Ok(None)
}

/// What depends on the file's content the stream itself checks.
fn lost_position(
    source: &mut Source,
    position: &Position,
    server_uuid: &str,
    logs: &[(String, u64)],
) -> Result<Option<String>> {
    if position.server_uuid != server_uuid {
        return Ok(Some(format!(
            "the checkpoint is from the server {}, this one is {server_uuid}",
            position.server_uuid
        )));
    }
    if let Some(set) = &position.gtid_set {
        let why = source.other_log(position, logs)?;
        return if why.is_some() { Ok(why) } else { source.lost_gtids(set) };
    }
    Ok(match logs.iter().find(|(file, _)| *file == position.file) {
        Some((_, size)) if *size >= position.offset => None,
        Some((file, size)) => Some(format!("{file} has {size} bytes, the checkpoint is at {}", position.offset)),
        None => Some(format!("the source no longer has {}", position.file)),
    })
}

/// From the checkpoint.
fn resume(config: &Config, store: &Store, checkpoint: Checkpoint, inspection: &Inspection) -> Result<Begun> {
    let states = store.load_table_states()?;
    let mut tables = resumed_tables(inspection, &states);
    tables.extend(gone_tables(config, inspection, &states)?);
    Ok(Begun { checkpoint, tables, is_new: false })
}

/// Tables that the source no longer has: the stream has yet to say what became of them.
fn gone_tables(config: &Config, inspection: &Inspection, states: &[TableState]) -> Result<Vec<Chosen>> {
    let Some(client) = &inspection.client else { return Ok(Vec::new()) };
    let zero_dates = inspection.facts.as_ref().is_some_and(ServerFacts::allows_zero_dates);
    let there: HashSet<&TableName> = inspection.tables.iter().map(|table| &table.source.name).collect();
    let mut gone = Vec::new();
    for state in states.iter().filter(|state| state.state != GONE) {
        let Ok(name) = table_name(&state.table) else { continue };
        if there.contains(&name) || !config.replicate.selection.selects(&name) {
            continue;
        }
        let known = SavedSchema::from_text(&state.schema).and_then(|schema| Some(schema.known?.definition));
        let definition = known.unwrap_or_else(|| Definition { name: name.clone(), ..Definition::default() });
        let target_name = config.replicate.target_name(&name);
        let target = targets::existing_table(client, &target_name)?;
        let source = definition.source_table(zero_dates, config.replicate.choices(&name));
        let inspected = Inspected { definition, source, target_name, target, misfits: Vec::new(), copy_where: None };
        // Nothing is left to copy, unless it is only taken for a helper, of a table that came later: then that begins anew.
        let is_helper = config.replicate.selection.helped_by(&name, &|base| there.contains(base)).is_some();
        let is_copied = is_helper && !state.shadow.id.is_nil();
        let id = if is_copied { Uuid::new_v4() } else { Uuid::nil() };
        let state = TableState { shadow: Shadow { id, ..Shadow::default() }, ..state.clone() };
        gone.push(Chosen { is_new: true, ..resumed(inspected, state, inspection) });
    }
    Ok(gone)
}

/// A table that cannot be followed any more is set aside alone: the others go on.
fn resumed_tables(inspection: &Inspection, states: &[TableState]) -> Vec<Chosen> {
    let states: HashMap<&str, &TableState> = states.iter().map(|state| (state.table.as_str(), state)).collect();
    let resume = |table: &Inspected| {
        match states.get(table.source.name.to_string().as_str()) {
            Some(&saved) => resumed(table.clone(), saved.clone(), inspection),
            // What the source shows of it now may be behind what the stream has passed, and its target may have rows.
            None => Chosen::wanted(table.clone(), "it was chosen after the first start"),
        }
    };
    inspection.tables.iter().map(resume).collect()
}

/// A table that was replicated and is not any more (excluded, or dropped) misses rows from here on, and must say so if it
/// is ever chosen again. Its copy misses them too, and is given up.
fn set_aside_unchosen(store: &Store, states: &[TableState], chosen: &[Chosen]) -> Result<()> {
    let is_chosen =
        |state: &TableState| chosen.iter().any(|table| table.inspected.source.name.to_string() == state.table);
    for state in states.iter().filter(|state| !is_chosen(state)).cloned() {
        let shadow = Shadow::default();
        if State::from_name(&state.state) != State::Quarantined {
            let reason = "it was not replicated for a while (not chosen, or not there): rows are missing".to_owned();
            let name = State::Quarantined.name().to_owned();
            store.save_table_state(&TableState { state: name, reason, shadow, ..state })?;
        } else if state.shadow != shadow {
            store.save_table_state(&TableState { shadow, ..state })?;
        }
    }
    Ok(())
}

fn resumed(table: Inspected, saved: TableState, inspection: &Inspection) -> Chosen {
    let TableState { reason, floor, shadow, schema, .. } = saved;
    let gone = || format!("its target {} is gone: an empty one in its place would be wrong", table.target_name);
    let (known, schema) = (State::from_name(&saved.state), SavedSchema::from_text(&schema));
    let is_pending = schema.as_ref().is_some_and(|schema| schema.pending.is_some());
    let has_key = !table.source.key.is_empty();
    if known == State::Snapshot && table.target.as_ref().is_some_and(|target| keyless::is_log(target) == has_key) {
        return Chosen::wanted(table, "it got or lost its key while it was copied");
    }
    let new_problem = match known {
        State::Quarantined => None,
        State::Streaming | State::Snapshot | State::Unverified | State::Drifted if is_pending => None,
        State::Streaming | State::Snapshot | State::Unverified | State::Drifted if table.target.is_none() => {
            Some(gone())
        }
        State::Drifted => None,
        State::Streaming | State::Snapshot | State::Unverified => {
            let problem = inspection.reason(&table.source.name, &misfits_at_position(&table, &schema, inspection));
            Some(problem).filter(|problem| !problem.is_empty())
        }
    };
    let is_new = new_problem.is_some();
    let (state, reason) = new_problem.map_or((known, reason), |problem| (State::Quarantined, problem));
    Chosen { inspected: table, state, reason, floor, shadow, schema, is_new, is_gone: false }
}

/// What the source shows now may be behind the DDL that the stream comes to: the target must fit what is known of the
/// position.
fn misfits_at_position(table: &Inspected, schema: &Option<SavedSchema>, inspection: &Inspection) -> Vec<Problem> {
    match (schema, &inspection.client) {
        (Some(SavedSchema { known: Some(known), .. }), Some(client)) => {
            let source = known.definition.source_table(table.source.allows_zero_dates, table.source.choices.clone());
            misfits(&source, table.target.as_ref(), client.target_features())
        }
        (Some(_) | None, _) => table.misfits.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::tables::ExistingTable;
    use crate::schema::choices::Choices;

    fn inspected(has_target: bool) -> Inspected {
        let name = TableName { database: "shop".to_owned(), table: "orders".to_owned() };
        let source = SourceTable {
            name: name.clone(),
            columns: Vec::new(),
            key: Vec::new(),
            allows_zero_dates: false,
            choices: Choices::default(),
        };
        let definition = Definition { name: name.clone(), ..Definition::default() };
        let target = has_target.then(|| ExistingTable {
            table: TargetTable { name: name.clone(), columns: Vec::new() },
            default_kinds: Vec::new(),
            engine_full: String::new(),
            sorting_key: String::new(),
            partition_key: String::new(),
            time_zone: String::new(),
        });
        Inspected { definition, source, target_name: name, target, misfits: Vec::new(), copy_where: None }
    }

    fn found(problem: &str) -> Inspection {
        let name = inspected(true).source.name;
        let problem = (!problem.is_empty()).then(|| Problem::new(problem, "mend it").of_table(&name));
        let problems = problem.into_iter().collect();
        Inspection { problems, notes: Vec::new(), facts: None, client: None, tables: Vec::new() }
    }

    fn saved(state: &str) -> TableState {
        let (table, reason) = ("shop.orders".to_owned(), "why".to_owned());
        TableState { table, state: state.to_owned(), reason, ..TableState::default() }
    }

    #[test]
    fn a_known_table_goes_on_as_it_was() {
        for (name, state) in
            [("streaming", State::Streaming), ("unverified", State::Unverified), ("later", State::Quarantined)]
        {
            let table = resumed(inspected(true), saved(name), &found(""));
            assert_eq!((table.state, table.reason.as_str(), table.is_new), (state, "why", false));
        }
    }

    #[test]
    fn a_target_that_is_gone_is_never_made_anew() {
        let table = resumed(inspected(false), saved("streaming"), &found(""));
        assert!(
            table.state == State::Quarantined && table.is_new && table.reason.contains("is gone"),
            "{}",
            table.reason
        );
    }

    #[test]
    fn a_table_that_no_longer_fits_is_set_aside_with_the_reason() {
        let table = resumed(inspected(true), saved("streaming"), &found("no key any more"));
        assert!(table.state == State::Quarantined && table.is_new, "{:?}", table.state);
        assert_eq!(table.reason, "no key any more (repair: mend it)");
        let table = resumed(inspected(true), saved("quarantined"), &found("no key any more"));
        assert_eq!(table.reason, "why", "the first reason stays");
    }
}
