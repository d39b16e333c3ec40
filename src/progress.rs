//! How far the copies are, for whoever watches: in the log at intervals, and as a line at the bottom of a terminal.
//!
//! It reads what `/status` shows and tells nothing else. The terminal's line ends with a carriage return instead of a line
//! feed, and whatever is logged first clears what stands there ([`CLEAR`]): so the two never mix.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::metrics::{Picture, Status, TablePicture};

/// Clears the terminal's line from the cursor on.
pub const CLEAR: &str = "\x1b[K";

const LOG_INTERVAL: Duration = Duration::from_secs(10);
const LINE_INTERVAL: Duration = Duration::from_millis(500);
/// A stream that is no further behind has caught up.
const CAUGHT_UP_SECONDS: f64 = 1.0;
const BAR_CELLS: usize = 20;

/// Tells until `stop`.
pub fn run(status: &Status, stop: &AtomicBool) {
    let has_line = std::io::stderr().is_terminal();
    let mut told_at = Instant::now();
    let mut has_copied = false;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LINE_INTERVAL);
        let picture = status.picture();
        status.counts().news().iter().for_each(|news| log::warn!("{news}"));
        let copying: Vec<&TablePicture> = picture.tables.iter().filter(|table| is_copied(table)).collect();
        has_copied |= !copying.is_empty();
        if told_at.elapsed() >= LOG_INTERVAL {
            told_at = Instant::now();
            copying.iter().for_each(|table| log::info!("{} {}", table.name, table.reason));
        }
        if has_line && let Some(line) = line(&copying) {
            // A terminal that is gone wants no line.
            let _ = write!(std::io::stderr(), "{line}{CLEAR}\r");
        }
        if has_copied && has_caught_up(&picture) {
            has_copied = false;
            log::info!("caught up, lag {:.1} s", picture.lag_seconds);
        }
    }
}

fn is_copied(table: &TablePicture) -> bool {
    matches!(table.state.as_str(), "snapshot" | "resync")
}

fn has_caught_up(picture: &Picture) -> bool {
    picture.state == "streaming" && !picture.tables.iter().any(is_copied) && picture.lag_seconds < CAUGHT_UP_SECONDS
}

/// The first table with its bar, and how many others there are.
fn line(copying: &[&TablePicture]) -> Option<String> {
    // What cannot be drawn yet waits behind what can.
    let (first, others) = (copying.iter().max_by_key(|table| table.copied_percent)?, copying.len() - 1);
    let bar = first.copied_percent.map(bar).unwrap_or_default();
    let others = if others > 0 { format!(" (+{others} more)") } else { String::new() };
    Some(format!("{bar}{} {}{others}", first.name, first.reason))
}

fn bar(percent: u8) -> String {
    let full = usize::from(percent.min(100)) * BAR_CELLS / 100;
    format!("[{}{}] ", "#".repeat(full), ".".repeat(BAR_CELLS - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(state: &str, copied_percent: Option<u8>) -> TablePicture {
        let (name, reason) = ("shop.orders".to_owned(), "copying: ..".to_owned());
        TablePicture { name, state: state.to_owned(), reason, copied_percent, ..TablePicture::default() }
    }

    #[test]
    fn the_line_shows_the_table_that_is_furthest() {
        assert_eq!(line(&[]), None);
        let (new, half) = (table("snapshot", None), table("snapshot", Some(50)));
        assert_eq!(line(&[&new]).unwrap(), "shop.orders copying: ..");
        assert_eq!(line(&[&new, &half]).unwrap(), "[##########..........] shop.orders copying: .. (+1 more)");
        assert_eq!((bar(0).len(), bar(99).matches('#').count(), bar(100).matches('#').count()), (23, 19, 20));
    }

    #[test]
    fn caught_up_is_when_nothing_is_copied_and_nothing_waits() {
        let check = |state: &str, table_state, lag_seconds| {
            let tables = vec![table(table_state, None)];
            has_caught_up(&Picture { state: state.to_owned(), lag_seconds, tables, ..Picture::default() })
        };
        assert!(check("streaming", "streaming", 0.2));
        assert!(!check("waiting", "streaming", 0.2));
        assert!(!check("streaming", "resync", 0.2));
        assert!(!check("streaming", "quarantined", 5.0));
    }
}
