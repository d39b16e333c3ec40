//! A TABLE_MAP of `binlog_row_metadata=MINIMAL`, MySQL's default: it has the columns' types, but no names, labels or key.
//!
//! Those come from the table's definition at the same position, and only if the definition says of every column what the
//! map says: as many columns, each of the same type, lengths, digits, sign and kind of character set, NULL or not. What
//! differs is an error that shows both, so no value ever lands in the column of another. What a map cannot show (two
//! columns of one type that changed places, labels in another order) is right because the definition follows the DDL.

use std::fmt::Write;

use super::table_map::{Labelled, TableMap};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::catalog::{ColumnDefinition, Definition};
use crate::schema::choices::Choices;
use crate::schema::types::{SourceColumn, SourceType};

/// Columns of a shape that a message shows: with all of a wide table's it would be unreadable.
const SHOWN_COLUMNS: usize = 100;

impl TableMap {
    /// The same map with the names, labels and key of `definition`.
    ///
    /// # Errors
    /// `TableShape`, with both shapes, when the definition is not that of the map's rows.
    pub fn completed(mut self, definition: &Definition) -> Result<Self> {
        let known = definition.source_table(false, Choices::default());
        let is_same = self.columns.len() == known.columns.len();
        let pairs = || self.columns.iter().zip(&known.columns).enumerate();
        let other = pairs().find(|(index, (logged, known))| !self.is_same(*index, logged, known));
        if let Some(index) = other.map(|(index, _)| index).or_else(|| (!is_same).then_some(known.columns.len())) {
            return Err(self.mismatch(index.min(self.columns.len()), &known.columns));
        }
        check_labels(definition)?;
        for (logged, known) in self.columns.iter_mut().zip(known.columns) {
            let is_old = is_old_form(&logged.ty, &known.ty);
            *logged = if is_old { SourceColumn { ty: logged.ty.clone(), ..known } } else { known };
        }
        self.key_has_prefix = definition.key.iter().any(|part| part.is_prefix);
        self.primary_key = Some(known.key).filter(|key| !key.is_empty());
        (self.has_full_metadata, self.unlabelled) = (true, Vec::new());
        Ok(self)
    }

    fn is_same(&self, index: usize, logged: &SourceColumn, known: &SourceColumn) -> bool {
        let is_number = |bytes: usize| matches!(logged.ty, SourceType::Int { bytes: logged, unsigned: true } if usize::from(logged) == bytes);
        let is_type = match (self.labelled(index), &known.ty) {
            // A plan refuses it by its name.
            (_, SourceType::Unsupported { .. }) => true,
            (Some(kind @ Labelled::Enum), SourceType::Enum { labels })
            | (Some(kind @ Labelled::Set), SourceType::Set { labels }) => is_number(kind.bytes(labels.len())),
            (Some(_), _) => false,
            (None, known) => logged.ty == *known || is_old_form(&logged.ty, known),
        };
        let is_unnamed = logged.name == format!("@{}", index + 1);
        is_type && logged.nullable == known.nullable && (is_unnamed || logged.name == known.name)
    }

    fn labelled(&self, index: usize) -> Option<Labelled> {
        self.unlabelled.iter().find(|(column, _)| *column == index).map(|(_, kind)| *kind)
    }

    fn mismatch(&self, index: usize, known: &[SourceColumn]) -> Error {
        let logged = self.columns.iter().enumerate().map(|(index, column)| {
            let ty = match (self.labelled(index), &column.ty) {
                (Some(kind), SourceType::Int { bytes, .. }) => format!("{} of {bytes} bytes", kind.name()),
                (_, ty) => ty.to_string(),
            };
            told(&column.name, &ty, column.nullable)
        });
        let known = known.iter().map(|column| told(&column.name, &column.ty.to_string(), column.nullable));
        let text = format!(
            "its rows come without column names (binlog_row_metadata=MINIMAL) and are not those of the table as the DDL of \
             the binary log has made it, from column {} on: in the stream ({}), known ({}). Something changed the table \
             that was not logged (sql_log_bin=0?): `stream-bridge resync` copies it anew",
            index + 1,
            list(logged),
            list(known)
        );
        Error::new(ErrorKind::TableShape, text)
    }
}

fn check_labels(definition: &Definition) -> Result<()> {
    let doubtful = |column: &ColumnDefinition| Some((column.name.clone(), column.ty.doubtful_label()?));
    definition.columns.iter().find_map(doubtful).map_or(Ok(()), |(column, label)| {
        let text = format!(
            "its rows come without labels (binlog_row_metadata=MINIMAL), and the label {label:?} may have other characters than \
             MySQL's dictionary shows: SET PERSIST binlog_row_metadata = 'FULL' has rows tell it themselves"
        );
        Err(Error::new(ErrorKind::TableShape, text).at_column(&column))
    })
}

/// Columns that were made before MySQL 5.6.4 keep their form until the table is rebuilt.
fn is_old_form(logged: &SourceType, known: &SourceType) -> bool {
    matches!(
        (logged, known),
        (SourceType::OldTime, SourceType::Time { fsp: 0 })
            | (SourceType::OldDateTime, SourceType::DateTime { fsp: 0 })
            | (SourceType::OldTimestamp, SourceType::Timestamp { fsp: 0 })
    )
}

fn told(name: &str, ty: &str, nullable: bool) -> String {
    format!("{name} {ty}{}", if nullable { "" } else { " NOT NULL" })
}

/// `a, b, c`, cut when it is long.
fn list(mut columns: impl Iterator<Item = String>) -> String {
    let mut text = columns.by_ref().take(SHOWN_COLUMNS).collect::<Vec<_>>().join(", ");
    match columns.count() {
        0 => {}
        // Writing to a String cannot fail.
        rest => drop(write!(text, ", and {rest} more")),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::catalog::KeyPart;
    use crate::schema::column::ColumnType;
    use crate::schema::types::Charset;

    /// A column as the map has it, and as `information_schema` would say it.
    fn pair(ty: SourceType, data_type: &str, column_type: &str) -> (SourceType, ColumnType) {
        let (data_type, column_type) = (data_type.to_owned(), column_type.to_owned());
        (ty, ColumnType { data_type, column_type, ..ColumnType::default() })
    }

    fn int(bytes: u8, unsigned: bool) -> SourceType {
        SourceType::Int { bytes, unsigned }
    }

    fn pairs() -> Vec<(SourceType, ColumnType)> {
        let varchar = SourceType::VarChar { max_bytes: 40, charset: Charset::Utf8 };
        let (varchar, ty) = pair(varchar, "varchar", "");
        let ty = ColumnType { octets: Some(40), charset: Some("utf8mb4".to_owned()), ..ty };
        let time = |logged, known, fsp| {
            let (logged, ty) = pair(logged, known, "");
            (logged, ColumnType { fsp: Some(fsp), ..ty })
        };
        vec![
            pair(int(4, true), "int", "int unsigned"),
            (varchar, ty),
            pair(int(1, true), "enum", "enum('a','b')"),
            pair(int(1, true), "set", "set('p','q')"),
            time(SourceType::DateTime { fsp: 3 }, "datetime", 3),
            time(SourceType::OldTime, "time", 0),
            pair(int(8, false), "bigint", ""),
        ]
    }

    fn map_of(pairs: &[(SourceType, ColumnType)]) -> TableMap {
        let column = |(index, (ty, _)): (usize, &(SourceType, ColumnType))| SourceColumn {
            name: format!("@{}", index + 1),
            ty: ty.clone(),
            nullable: index > 0,
        };
        TableMap {
            table_id: 1,
            flags: 1,
            database: "d".to_owned(),
            table: "t".to_owned(),
            columns: pairs.iter().enumerate().map(column).collect(),
            primary_key: None,
            key_has_prefix: false,
            has_full_metadata: false,
            unlabelled: vec![(2, Labelled::Enum), (3, Labelled::Set)],
        }
    }

    fn definition_of(pairs: &[(SourceType, ColumnType)]) -> Definition {
        let column = |(index, (_, ty)): (usize, &(SourceType, ColumnType))| ColumnDefinition {
            name: format!("c{index}"),
            ty: ty.clone(),
            nullable: index > 0,
            ..ColumnDefinition::default()
        };
        let columns = pairs.iter().enumerate().map(column).collect();
        let part = |column: &str| KeyPart { column: column.to_owned(), is_prefix: false };
        Definition { columns, key: vec![part("c6"), part("c0")], ..Definition::default() }
    }

    #[test]
    fn names_labels_and_key_are_the_definitions() {
        let map = map_of(&pairs()).completed(&definition_of(&pairs())).unwrap();
        assert!(map.has_full_metadata && map.unlabelled.is_empty());
        assert_eq!(map.primary_key, Some(vec![6, 0]), "in key order");
        assert_eq!((map.columns[0].name.as_str(), &map.columns[0].ty), ("c0", &int(4, true)));
        assert_eq!(map.columns[2].ty, SourceType::Enum { labels: vec!["a".to_owned(), "b".to_owned()] });
        assert_eq!(map.columns[5].ty, SourceType::OldTime, "the form of the values is the map's");
        assert!(!map.columns[0].nullable && map.columns[1].nullable);
    }

    #[test]
    fn whatever_differs_is_refused_with_both_shapes() {
        let check = |change: &dyn Fn(&mut TableMap), texts: &[&str]| {
            let mut map = map_of(&pairs());
            change(&mut map);
            let error = map.completed(&definition_of(&pairs())).unwrap_err();
            assert_eq!(error.kind, ErrorKind::TableShape);
            for text in
                texts.iter().chain(&["resync", "known (c0 INT UNSIGNED NOT NULL, c1 VARCHAR of 40 bytes utf8mb4, c2"])
            {
                assert!(error.text.contains(text), "{text}: {error}");
            }
        };
        let ty = |index: usize, ty: SourceType| move |map: &mut TableMap| map.columns[index].ty = ty.clone();
        check(&ty(0, int(4, false)), &["from column 1 on: in the stream (@1 INT NOT NULL, @2 VARCHAR"]);
        check(&ty(0, int(8, true)), &["column 1", "@1 BIGINT UNSIGNED"]);
        check(&ty(1, SourceType::VarChar { max_bytes: 44, charset: Charset::Utf8 }), &["column 2", "44 bytes"]);
        check(&ty(1, SourceType::VarChar { max_bytes: 40, charset: Charset::Latin1 }), &["column 2", "latin1"]);
        check(&ty(1, SourceType::Char { max_bytes: 40, charset: Charset::Utf8 }), &["column 2"]);
        check(&ty(2, int(2, true)), &["column 3", "@3 ENUM of 2 bytes"]);
        check(&ty(4, SourceType::DateTime { fsp: 0 }), &["column 5", "DATETIME(0)"]);
        check(&ty(5, SourceType::OldDateTime), &["column 6"]);
        check(&|map| map.columns[1].nullable = false, &["column 2", "utf8mb4 NOT NULL"]);
        check(&|map| map.unlabelled[0].1 = Labelled::Set, &["column 3", "SET of 1 bytes"]);
        check(&|map| map.unlabelled.clear(), &["column 3", "@3 TINYINT UNSIGNED"]);
        check(&|map| map.unlabelled.push((6, Labelled::Enum)), &["column 7"]);
        check(&|map| drop(map.columns.pop()), &["column 7"]);
        check(&|map| map.columns.push(map.columns[1].clone()), &["column 8"]);
        check(&|map| map.columns[1].name = "other".to_owned(), &["column 2"]);
    }

    #[test]
    fn a_label_that_may_be_another_one_is_refused() {
        let mut pairs = pairs();
        pairs[2].1.column_type = "enum('a','?')".to_owned();
        pairs[2].1.charset = Some("utf8mb4".to_owned());
        let error = map_of(&pairs).completed(&definition_of(&pairs)).unwrap_err();
        assert!(error.to_string().contains("column c2: ") && error.text.contains("label \"?\""), "{error}");
    }

    #[test]
    fn a_wide_table_is_shown_in_part() {
        let mut map = map_of(&pairs());
        map.columns = vec![map.columns[0].clone(); 4_000];
        let error = map.completed(&definition_of(&pairs())).unwrap_err();
        assert!(error.text.contains("and 3900 more") && error.text.len() < 5_000, "{error}");
    }
}
