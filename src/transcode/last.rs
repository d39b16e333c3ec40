//! The last image of each key, of rows that are held until their transaction's outcome is known (XA).
//!
//! Such rows all get one version, that of the commit, and equal versions have no order. So of several changes to a key
//! only the last one may go out. An update counts as a deletion of its before image and an insertion of its after image:
//! when the key is the same, the second replaces the first. Keys are compared as [`RowPlan::append_rows`] does, in the
//! images' own bytes, which is right because every mapping of a key column is injective.

use std::hash::Hasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::FxHasher;

use super::fault::RowFault;
use super::plan::KeyRule;
use super::{Limits, RowPlan, RowsKind, ValueCursor, float32, float64};
use crate::error::Result;
use crate::position::Version;
use crate::rowbinary::{Body, ChunkPool};

/// Row images copied out of their events, in stream order.
#[derive(Debug, Default)]
pub struct HeldImages {
    bytes: Vec<u8>,
    /// What each event does, and where its images end.
    events: Vec<(RowsKind, usize)>,
}

/// The last image of a key: all images from it to its event's end, and whether the row is gone with it.
#[derive(Debug, Clone, Copy)]
pub struct LastImage<'a> {
    images: &'a [u8],
    deleted: bool,
}

impl HeldImages {
    /// Adds the images of an event.
    pub fn push(&mut self, kind: RowsKind, images: &[u8]) {
        self.bytes.extend_from_slice(images);
        self.events.push((kind, self.bytes.len()));
    }

    /// The memory that they take.
    pub fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.events.capacity() * size_of::<(RowsKind, usize)>()
    }

    fn events(&self) -> impl Iterator<Item = (RowsKind, &[u8])> {
        let mut start = 0;
        self.events.iter().map(move |&(kind, end)| {
            let images = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            (kind, images)
        })
    }
}

impl RowPlan {
    /// The last image of each key, in the order in which the keys appear first.
    ///
    /// # Errors
    /// [`CorruptStream`](crate::error::ErrorKind::CorruptStream) when the images do not end where they should.
    pub fn last_images<'a>(&self, held: &'a HeldImages) -> Result<Vec<LastImage<'a>>> {
        let mut last = Last { plan: self, images: Vec::new(), by_key: HashTable::new() };
        for (kind, images) in held.events() {
            last.add_event(kind, images).map_err(|fault| self.explain(fault))?;
        }
        Ok(last.images)
    }

    /// Appends rows of `version` until `images` is empty or `body` is full.
    ///
    /// # Errors
    /// As [`RowPlan::append_rows`].
    pub fn append_last(
        &self,
        images: &mut &[LastImage<'_>],
        version: Version,
        body: &mut Body,
        pool: &mut ChunkPool,
        limits: Limits,
    ) -> Result<()> {
        while let Some((image, rest)) = images.split_first()
            && !limits.are_reached(body)
        {
            let mut rows = super::RowsCursor::plain(RowsKind::Write, image.images, version, super::Stride::Bytes);
            let done = self.append_image(&mut rows, body, pool, image.deleted);
            done.map_err(|fault| self.explain(fault))?;
            *images = rest;
        }
        Ok(())
    }

    /// A hash that is equal for equal keys; `images` has been walked before.
    fn hash_key(&self, images: &[u8]) -> u64 {
        let mut hasher = FxHasher::default();
        if let Ok(mut values) = ValueCursor::new(images, self.columns.len()) {
            for (index, column) in self.columns.iter().take(self.key_end).enumerate() {
                let Ok(Some(value)) = values.next(index, column) else { continue };
                match column.key {
                    KeyRule::None => {}
                    KeyRule::Bytes => hash_bytes(&mut hasher, value),
                    // -0.0 + 0.0 is 0.0.
                    KeyRule::Float32 => hasher.write_u32(float32(value).map_or(0, |float| (float + 0.0).to_bits())),
                    KeyRule::Float64 => hasher.write_u64(float64(value).map_or(0, |float| (float + 0.0).to_bits())),
                }
            }
        }
        hasher.finish()
    }
}

fn hash_bytes(hasher: &mut FxHasher, value: &[u8]) {
    hasher.write_usize(value.len());
    hasher.write(value);
}

struct Last<'p, 'a> {
    plan: &'p RowPlan,
    images: Vec<LastImage<'a>>,
    /// Indexes of `images`.
    by_key: HashTable<usize>,
}

impl<'a> Last<'_, 'a> {
    fn add_event(&mut self, kind: RowsKind, mut images: &'a [u8]) -> std::result::Result<(), RowFault<'a>> {
        while !images.is_empty() {
            images = match kind {
                RowsKind::Write => self.add(images, false)?,
                RowsKind::Delete => self.add(images, true)?,
                RowsKind::Update => {
                    let after = self.add(images, true)?;
                    self.add(after, false)?
                }
            };
        }
        Ok(())
    }

    /// Takes the image at the front; returns what follows it.
    fn add(&mut self, images: &'a [u8], deleted: bool) -> std::result::Result<&'a [u8], RowFault<'a>> {
        let rest = self.plan.skip_row(images)?;
        let image = LastImage { images, deleted };
        match self.same_key(images) {
            Some(index) => {
                if let Some(earlier) = self.images.get_mut(index) {
                    *earlier = image;
                }
            }
            None => self.images.push(image),
        }
        Ok(rest)
    }

    /// The index of an earlier image of the same key; this one's is noted otherwise. Without a key every row is its own.
    fn same_key(&mut self, images: &[u8]) -> Option<usize> {
        let (plan, list) = (self.plan, &self.images);
        if plan.key_end == 0 {
            return None;
        }
        let earlier = |index: &usize| list.get(*index).map_or(&[][..], |image| image.images);
        let is_same = |index: &usize| plan.same_key(earlier(index), images).unwrap_or(false);
        match self.by_key.entry(plan.hash_key(images), is_same, |index| plan.hash_key(earlier(index))) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(entry) => {
                entry.insert(list.len());
                None
            }
        }
    }
}
