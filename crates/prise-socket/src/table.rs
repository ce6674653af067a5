//! The socket table: records in chunks, each with a generation.
//!
//! Chunks rather than one vector: a host with a hundred thousand sockets never copies its table, and never owns twice the memory that it uses.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::SocketId;

const CHUNK: usize = 64;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    record: Option<T>,
}

/// Records named by [`SocketId`]; insertion, removal and lookup in constant time.
#[derive(Debug)]
pub(crate) struct Table<T> {
    chunks: Vec<Box<[Slot<T>]>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            len: 0,
        }
    }

    pub(crate) fn insert(&mut self, record: T) -> SocketId {
        if self.free.is_empty() {
            self.grow();
        }
        let index = self.free.pop().expect("grow() has just added free slots");
        let slot = &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK];
        // Generation 0 is never given out, so no identifier's bits are zero: SO_COOKIE's "none".
        slot.generation = slot.generation.wrapping_add(1).max(1);
        slot.record = Some(record);
        self.len += 1;
        SocketId::new(index, slot.generation)
    }

    fn grow(&mut self) {
        let first = (self.chunks.len() * CHUNK) as u32;
        self.chunks.push(
            (0..CHUNK)
                .map(|_| Slot {
                    generation: 0,
                    record: None,
                })
                .collect(),
        );
        self.free.extend((first..first + CHUNK as u32).rev());
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<T> {
        let slot = self.slot_mut(id.index())?;
        if slot.generation != id.generation() {
            return None;
        }
        let record = slot.record.take()?;
        self.free.push(id.index());
        self.len -= 1;
        Some(record)
    }

    pub(crate) fn get(&self, id: SocketId) -> Option<&T> {
        let slot = self.slot(id.index())?;
        if slot.generation == id.generation() {
            slot.record.as_ref()
        } else {
            None
        }
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut T> {
        let slot = self.slot_mut(id.index())?;
        if slot.generation == id.generation() {
            slot.record.as_mut()
        } else {
            None
        }
    }

    /// The identifier of whoever is in a slot now: the stack knows sockets by slot only.
    pub(crate) fn id_at(&self, index: u32) -> Option<SocketId> {
        let slot = self.slot(index)?;
        slot.record.as_ref().map(|_| SocketId::new(index, slot.generation))
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = SocketId> {
        (0u32..)
            .zip(self.chunks.iter().flatten())
            .filter_map(|(index, slot)| slot.record.as_ref().map(|_| SocketId::new(index, slot.generation)))
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.chunks
            .get_mut(index as usize / CHUNK)?
            .get_mut(index as usize % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_identifier_finds_nothing_although_its_slot_is_reused() {
        let mut table = Table::new();
        let first = table.insert('a');
        assert_eq!(table.remove(first), Some('a'));
        let second = table.insert('b');
        assert_eq!(second.index(), first.index());
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&'b'));
        assert_eq!(table.id_at(second.index()), Some(second));
    }

    #[test]
    fn the_table_grows_by_chunks_and_lists_who_is_there() {
        let mut table = Table::new();
        let ids: Vec<_> = (0..1000).map(|n| table.insert(n)).collect();
        for id in ids.iter().step_by(2) {
            table.remove(*id);
        }
        assert_eq!(table.len(), 500);
        assert_eq!(table.ids().count(), 500);
        assert!(table.ids().all(|id| table.get(id).is_some_and(|n| n % 2 == 1)));
    }
}
