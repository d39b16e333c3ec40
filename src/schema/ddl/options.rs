//! Table options. Of them all only the default character set matters here, and an engine that is no place for rows.

use super::parser::Parser;

/// Engines that keep the rows that they are given. BLACKHOLE does not, CSV keeps fewer digits, and what MERGE and FEDERATED
/// show is elsewhere.
const KEEPING_ENGINES: &[&str] = &["InnoDB", "MyISAM", "MEMORY", "HEAP", "ARCHIVE", "NDB", "NDBCLUSTER"];

/// Whether the rows of a table of this engine are those that the binary log has of it.
pub fn keeps_rows(engine: &str) -> bool {
    KEEPING_ENGINES.iter().any(|keeping| engine.eq_ignore_ascii_case(keeping))
}

/// `name [=] value`.
const VALUED: &[&str] = &[
    "MAX_ROWS",
    "MIN_ROWS",
    "AVG_ROW_LENGTH",
    "PASSWORD",
    "COMMENT",
    "COMPRESSION",
    "ENCRYPTION",
    "AUTO_INCREMENT",
    "AUTOEXTEND_SIZE",
    "PACK_KEYS",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "CHECKSUM",
    "TABLE_CHECKSUM",
    "DELAY_KEY_WRITE",
    "ROW_FORMAT",
    "INSERT_METHOD",
    "TABLESPACE",
    "STORAGE",
    "CONNECTION",
    "KEY_BLOCK_SIZE",
    "ENGINE_ATTRIBUTE",
    "SECONDARY_ENGINE",
    "SECONDARY_ENGINE_ATTRIBUTE",
    "TRANSACTIONAL",
    "PAGE_CHECKSUM",
];

impl Parser<'_> {
    /// Takes one option; `false` when none is next.
    pub(super) fn table_option(&mut self, charset: &mut Option<String>) -> Option<bool> {
        if self.charset_option(charset)? {
            return Some(true);
        }
        if self.word_of(&["ENGINE", "TYPE"]) {
            self.char('=');
            self.has_other_engine |= !keeps_rows(&self.name_or_text()?);
            return Some(true);
        }
        if self.words(&["DATA", "DIRECTORY"]) || self.words(&["INDEX", "DIRECTORY"]) || self.word_of(VALUED) {
            self.option_value()?;
            return Some(true);
        }
        if self.word("UNION") {
            self.char('=');
            self.parentheses()?;
            return Some(true);
        }
        Some(self.words(&["START", "TRANSACTION"]))
    }

    /// `[DEFAULT] CHARACTER SET [=] name`, `[DEFAULT] COLLATE [=] name`.
    pub(super) fn charset_option(&mut self, charset: &mut Option<String>) -> Option<bool> {
        if self.is_word_of(&["DEFAULT"]) {
            let mut ahead = self.clone();
            ahead.take();
            if !ahead.is_word_of(&["CHARACTER", "CHARSET", "CHAR", "COLLATE"]) {
                return Some(false);
            }
            *self = ahead;
        }
        let is_charset = self.character_set();
        if !is_charset && !self.word("COLLATE") {
            return Some(false);
        }
        self.char('=');
        *charset = Some(if is_charset { self.charset_name()? } else { self.charset_of_collation()? });
        Some(true)
    }

    /// `[=] value`: a name, a number with or without a unit, or a string.
    pub(super) fn option_value(&mut self) -> Option<()> {
        self.char('=');
        self.name_or_text().map(|_| ())
    }
}
