// SPDX-License-Identifier: MIT
//! The memory of a chunk that leaves the window becomes that of the next one [deepwater.rotate.reuse]: new pages cost a writer more
//! than all the rest of a record does.
//!
//! Before its own names go, what leaves gets those of the chunk to come. Nobody opens that one before count covers it, and recovery
//! removes it. Whether a reader still holds the memory the kernel says.

use super::layout::{REUSE_CHUNK, REUSE_WINDOW};
use super::place::Place;
use super::segment::{unlink_chunk, Chunk};
use crate::error::Result;
use crate::map::link;

const PLACES: usize = REUSE_WINDOW as usize + 1;

/// The sealed chunks of the window, which the writer has mapped still.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By id, modulo their number.
    chunks: Box<[Option<Chunk>; PLACES]>,
    /// One that has left, under the names of the chunk to come.
    spare: Option<u64>,
}

impl Kept {
    fn at(&mut self, id: u64) -> &mut Option<Chunk> {
        &mut self.chunks[(id % PLACES as u64) as usize]
    }

    /// Keep a chunk that has been sealed until its memory is used again, in the place of one that left the window a rotation ago or
    /// before; or unmap it now.
    pub(super) fn keep(&mut self, place: &Place, chunk: Chunk) {
        if place.live_window <= REUSE_WINDOW && place.chunk_size >= REUSE_CHUNK {
            let id = chunk.id;
            *self.at(id) = Some(chunk);
        }
    }

    /// Before expiry, which unlinks: give the chunk that is about to leave the names of chunk `rows`, which is the next one.
    pub(super) fn offer(&mut self, place: &Place, rows: u64) {
        self.spare = None;
        let leaving = rows.checked_sub(1 + u64::from(place.live_window));
        let is_kept = |&id: &u64| self.chunks.iter().flatten().any(|chunk| chunk.id == id);
        if let Some(id) = leaving.filter(is_kept) {
            match give_names(place, id, rows) {
                Ok(()) => self.spare = Some(id),
                Err(_) => unlink_chunk(place, rows), // new pages will do
            }
        }
    }

    /// After it: a chunk that had to stay in shared memory loses the names again. `in_memory`: rows below it have left.
    pub(super) fn settle(&mut self, place: &Place, rows: u64, in_memory: u64) {
        if self.spare.map_or(false, |id| in_memory <= id) {
            self.drop_names(place, rows);
        }
    }

    /// Take the names of chunk `rows` away, if any were given.
    pub(super) fn drop_names(&mut self, place: &Place, rows: u64) {
        if self.spare.take().is_some() {
            unlink_chunk(place, rows);
        }
    }

    /// Make chunk `id` of what has left. None if there is none, or a reader holds it: he keeps the memory, and the names go when new
    /// memory is made under them.
    pub(super) fn take_spare(&mut self, id: u64, pid: u32) -> Option<Chunk> {
        let left = self.spare.take()?;
        let chunk = self.at(left).take()?;
        if chunk.is_ours_alone() {
            Some(chunk.renew(id, pid))
        } else {
            None
        }
    }
}

fn give_names(place: &Place, old: u64, new: u64) -> Result<()> {
    ["data", "idx"].iter().try_for_each(|suffix| link(place.memory_name(old, suffix), place.memory_name(new, suffix)))
}
