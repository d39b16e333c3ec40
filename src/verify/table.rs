//! A table on both sides, ready to be read.

use super::part::Cutting;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::select::select_list;
use crate::schema::catalog::SourceTable;
use crate::schema::target::{InsertColumns, TargetColumn, TargetTable};
use crate::schema::target_type::{Base, TargetType};
use crate::schema::types::TableName;
use crate::transcode::RowPlan;
use crate::transcode::layout::Layout;
use crate::transcode::packet::{PacketPlan, copy_columns};

/// `_version` and `_is_deleted`, which are no values of the source.
const TAIL_COLUMNS: usize = 2;

/// A table with a key to compare, by the same plans as a copy.
#[derive(Debug)]
pub struct Table {
    /// The source's name.
    pub name: TableName,
    /// What to select in MySQL.
    pub select_list: String,
    /// Packets to images.
    pub packets: PacketPlan,
    /// Images to rows.
    pub rows: RowPlan,
    /// Which rows the initial copy took; `None`: all.
    pub copy_where: Option<String>,
    /// The target's name.
    pub target: TableName,
    /// What repairs have.
    pub columns: InsertColumns,
    /// Rows without `_version` and `_is_deleted`.
    pub layout: Layout,
    /// Keys alone.
    pub key_layout: Layout,
    /// Its parts.
    pub cutting: Cutting,
}

impl Table {
    /// The table `source`, whose target is `target`, and of which `copy_where` was copied.
    ///
    /// # Errors
    /// [`ErrorKind::TableShape`] when it cannot be compared.
    pub fn new(source: &SourceTable, target: &TargetTable, copy_where: Option<&str>) -> Result<Self> {
        let rows = RowPlan::compile_chosen(
            &copy_columns(&source.columns),
            &source.key,
            &target.columns,
            &source.choices,
            None,
        )?;
        let columns = rows.insert_columns();
        refuse_json(&columns)?;
        let values = columns.len().saturating_sub(TAIL_COLUMNS);
        let layout = Layout::new(columns.get(..values).unwrap_or_default(), &source.key)?;
        Ok(Self {
            name: source.name.clone(),
            select_list: select_list(&source.columns),
            packets: PacketPlan::compile(&source.columns, &source.key)?,
            rows,
            key_layout: layout.of_key(),
            layout,
            cutting: Cutting::of(source, &target.columns),
            copy_where: copy_where.map(str::to_owned),
            target: target.name.clone(),
            columns: InsertColumns(columns),
        })
    }

    /// The key in words: `id = 7, line = 2`.
    pub fn key_text(&self, key: &[u8]) -> String {
        let texts = self.key_layout.texts(key).into_iter();
        texts.map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
    }
}

/// A document in ClickHouse's own JSON cannot be compared.
pub(super) fn refuse_json(columns: &[TargetColumn]) -> Result<()> {
    let is_json = |column: &&TargetColumn| matches!(TargetType::parse(&column.ty).base, Base::Json { .. });
    let Some(column) = columns.iter().find(is_json) else { return Ok(()) };
    let text = "ClickHouse's JSON is not MySQL's text of it, so that it cannot be compared byte by byte";
    Err(Error::new(ErrorKind::TableShape, text).at_column(&column.name))
}
