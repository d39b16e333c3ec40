//! Where the chunks of a table's copy end.
//!
//! A table whose key is one integer is cut by the optimizer's estimates for ranges of it, each of which costs the source a
//! few pages; stepping over the rows would cost it a quarter of what reading them does (measured). Estimates come from the
//! index as it is now, not from statistics, and are twice as high as the truth for ranges of many pages (measured): so a chunk
//! has about the rows that are asked for, or up to twice as many, whatever the keys' spread. A wrong one costs nothing but
//! evenness: chunks meet end to end in any case. Every other key, and a table that MySQL would not read by a range of its
//! key, is stepped over.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};
use crate::mysql::chunks::{Bound, Cuts};
use crate::mysql::select::Select;

/// Cuts one table.
#[derive(Debug)]
pub struct Cutter {
    cuts: Cuts,
    /// How far apart the last chunk's ends were: a first guess for the next one.
    stride: AtomicU64,
}

impl Cutter {
    /// Nothing is known of the table yet.
    pub fn new(cuts: Cuts) -> Self {
        Self { cuts, stride: AtomicU64::new(1) }
    }

    /// How the table is cut.
    pub fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// The end of the chunk above `lower`, about `rows` rows further on; `None`: the table's end.
    ///
    /// # Errors
    /// When the source is away or refuses.
    pub fn next_end(&self, select: &mut Select, lower: Option<&Bound>, rows: u64) -> Result<Option<Bound>> {
        if self.cuts.is_whole() {
            return Ok(None);
        }
        if self.cuts.is_one_integer()
            && let Some(end) = self.estimated_end(select, lower, rows)?
        {
            return Ok(end);
        }
        let found = select.connection()?.rows(&self.cuts.next_end(lower, rows))?;
        let Some(row) = found.into_iter().next() else { return Ok(None) };
        let bound: Option<Bound> = row.into_iter().collect();
        let bound = bound.ok_or_else(|| Error::new(ErrorKind::TableShape, "a key column is NULL"))?;
        self.cuts.check(&bound).map(|()| Some(bound))
    }

    /// `None` when MySQL has no estimates of this table.
    fn estimated_end(&self, select: &mut Select, lower: Option<&Bound>, rows: u64) -> Result<Option<Option<Bound>>> {
        let Some((first, last)) = self.first_and_last(select)? else { return Ok(Some(None)) };
        let begin = lower.and_then(|bound| bound.first()?.parse().ok()).unwrap_or(first - 1);
        let stride = u128::from(self.stride.load(Ordering::Relaxed));
        let estimate = |upper: i128| self.estimate(select, lower, upper);
        let found = fitting_stride(begin, last, stride, rows, estimate)?;
        Ok(found.map(|stride| {
            self.stride.store(u64::try_from(stride).unwrap_or(u64::MAX), Ordering::Relaxed);
            let upper = begin.saturating_add_unsigned(stride);
            (upper < last).then(|| vec![upper.to_string()])
        }))
    }

    /// The key's extremes; `None` of an empty table.
    fn first_and_last(&self, select: &mut Select) -> Result<Option<(i128, i128)>> {
        let rows = select.connection()?.rows(&self.cuts.first_and_last())?;
        let mut numbers = rows.into_iter().flatten().map_while(|text| text?.parse().ok());
        Ok(numbers.next().zip(numbers.next()))
    }

    /// How many rows MySQL expects above `lower` up to `upper`; `None` when it would not read that range of the key.
    fn estimate(&self, select: &mut Select, lower: Option<&Bound>, upper: i128) -> Result<Option<u64>> {
        let rows = select.connection()?.rows(&self.cuts.estimate(lower, &vec![upper.to_string()]))?;
        // id, select_type, table, partitions, type, possible_keys, key, key_len, ref, rows, ..
        let field = |index: usize| rows.first().and_then(|row| row.get(index)?.as_deref());
        let is_by_key = field(4) == Some("range") && field(6) == Some("PRIMARY");
        Ok(field(9).filter(|_| is_by_key).and_then(|rows| rows.parse().ok()))
    }
}

/// How far to go above `begin` for an estimate of nearly twice `rows`, beginning with a guess, as far as there are keys up to
/// `last`; less far when keys lie in lumps. `None` when there is an estimate missing.
fn fitting_stride(
    begin: i128,
    last: i128,
    guess: u128,
    rows: u64,
    mut estimate: impl FnMut(i128) -> Result<Option<u64>>,
) -> Result<Option<u128>> {
    let (mut stride, mut may_grow) = (guess.max(1), true);
    loop {
        let upper = begin.saturating_add_unsigned(stride).min(last);
        let Some(found) = estimate(upper)? else { return Ok(None) };
        let rows_max = rows.saturating_mul(2);
        let fitting = upper.abs_diff(begin) * u128::from(rows_max) / u128::from(found.max(1));
        if found > rows_max && stride > 1 {
            // By a part at least: an estimate may stay the same far beyond a lump of keys.
            stride = fitting.clamp(1, stride - stride.div_ceil(8));
            may_grow = false;
        } else if found < rows_max - rows / 2 && may_grow && upper < last {
            stride = fitting.clamp(stride + 1, 2 * stride);
        } else {
            return Ok(Some(stride));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strides that are found one after the other for these keys, by exact counts, and the rows of each chunk.
    fn strides(keys: &[i128], rows: u64) -> Vec<(u128, usize)> {
        let last = *keys.last().unwrap();
        let (mut begin, mut stride, mut found) = (keys[0] - 1, 1, Vec::new());
        while begin < last {
            let count = |upper| keys.iter().filter(|&&key| begin < key && key <= upper).count();
            let estimate = |upper| Ok(Some(count(upper) as u64));
            stride = fitting_stride(begin, last, stride, rows, estimate).unwrap().unwrap();
            let upper = begin + i128::try_from(stride).unwrap();
            found.push((stride, count(upper)));
            begin = upper;
        }
        found
    }

    #[test]
    fn strides_follow_the_density_of_the_keys() {
        let dense: Vec<i128> = (1..=100).collect();
        assert_eq!(strides(&dense, 30), [(60, 60), (60, 40)]);
        let gaps: Vec<i128> = (0..40).chain((1..=40).map(|i| i << 50)).collect();
        let found = strides(&gaps, 10);
        assert!(found.len() < 20 && found.iter().all(|(_, rows)| *rows <= 20), "{found:?}");
        assert!(found[0] == (16, 16) && found.iter().any(|(stride, _)| *stride > 1 << 50), "{found:?}");
    }

    #[test]
    fn both_ends_of_the_type() {
        let keys = [i128::from(i64::MIN), 0, i128::from(u64::MAX)];
        assert_eq!(strides(&keys, 9).len(), 1);
        let rows: usize = strides(&keys, 1).iter().map(|(_, rows)| rows).sum();
        assert_eq!((rows, strides(&[7], 1)), (3, vec![(1, 1)]));
    }

    #[test]
    fn a_lump_that_is_little_too_large_is_cut_after_few_estimates() {
        let mut asked = 0;
        let estimate = |upper: i128| {
            asked += 1;
            Ok(Some(u64::try_from(upper.min(2_001)).unwrap()))
        };
        let stride = fitting_stride(0, 1 << 60, 1 << 59, 1_000, estimate).unwrap().unwrap();
        assert!((1_000..=2_000).contains(&stride) && asked < 400, "{stride} after {asked}");
    }

    #[test]
    fn without_estimates_there_is_no_stride() {
        assert_eq!(fitting_stride(0, 9, 1, 3, |_| Ok(None)).unwrap(), None);
    }
}
