//! The one format of tables: Markdown, with the median of a figure's runs and its least and greatest.

use std::fmt::Write as _;

/// A table, printed when it is whole.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these columns.
    pub fn new(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(|&column| column.to_owned()).collect()] }
    }

    /// Adds a line.
    pub fn row(&mut self, cells: &[String]) {
        assert_eq!(cells.len(), self.rows[0].len(), "a line has as many cells as the head");
        self.rows.push(cells.to_vec());
    }

    /// Prints it below its title.
    pub fn print(&self, title: &str) {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let mut text = format!("\n## {title}\n");
        for (index, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
            if index == 0 {
                widths.iter().for_each(|width| text.push_str(&format!("|{}", "-".repeat(width + 2))));
                text.push_str("|\n");
            }
        }
        println!("{text}");
    }
}

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The value that so many per cent do not exceed.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Counting from one: the smallest rank that is enough.
    let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0);
    sorted.iter().zip(1_u32..).find(|(_, place)| f64::from(*place) >= rank).map_or(f64::NAN, |(value, _)| *value)
}

/// `median (least-greatest)`.
pub fn spread(values: &[f64], decimals: usize) -> String {
    let (least, greatest) = (percentile(values, 0.0), percentile(values, 100.0));
    if values.len() < 2 {
        return format!("{least:.decimals$}");
    }
    format!("{:.decimals$} ({least:.decimals$}-{greatest:.decimals$})", median(values))
}

/// The values of all runs, one against the other of the same run.
pub fn ratios(these: &[f64], those: &[f64]) -> Vec<f64> {
    these.iter().zip(those).map(|(this, that)| this / that).collect()
}
