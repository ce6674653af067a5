//! Records with a stable index and a generation, so that a stale identifier finds nothing.

use alloc::vec::Vec;

/// An index with the generation it was given at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Elements of one piece of memory. Less than this more than the elements need is kept at most, where a vector that
/// doubles keeps up to as much again; and nothing ever moves.
const CHUNK: usize = 64;

/// A vector in pieces.
#[derive(Debug)]
struct Chunks<E> {
    chunks: Vec<Vec<E>>,
    len: usize,
}

impl<E> Chunks<E> {
    const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }

    const fn len(&self) -> usize {
        self.len
    }

    fn push(&mut self, element: E) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(element),
            // The first piece grows with need: most stacks have few records.
            last => {
                let mut chunk = Vec::with_capacity(if last.is_some() { CHUNK } else { 1 });
                chunk.push(element);
                self.chunks.push(chunk);
            }
        }
        self.len += 1;
    }

    fn get(&self, index: usize) -> Option<&E> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut E> {
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }

    fn iter(&self) -> impl Iterator<Item = &E> {
        self.chunks.iter().flatten()
    }
}

#[derive(Debug)]
enum Slot<T> {
    Free { next: u32 },
    Used(T),
}

/// A slab: insertion, removal and lookup in O(1); memory follows the greatest number of records at once.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Chunks<(u32, Slot<T>)>,
    free: u32,
    len: usize,
}

const NONE: u32 = u32::MAX;

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Chunks::new(),
            free: NONE,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        if self.free == NONE {
            let index = self.slots.len() as u32;
            self.slots.push((0, Slot::Used(value)));
            return Key { index, generation: 0 };
        }
        let index = self.free;
        let (generation, slot) = self
            .slots
            .get_mut(index as usize)
            .expect("the free list names slots that exist");
        if let Slot::Free { next } = *slot {
            self.free = next;
        }
        *slot = Slot::Used(value);
        Key {
            index,
            generation: *generation,
        }
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let (generation, slot) = self.slots.get_mut(index as usize)?;
        if matches!(slot, Slot::Free { .. }) {
            return None;
        }
        let old = core::mem::replace(slot, Slot::Free { next: self.free });
        *generation = generation.wrapping_add(1);
        self.free = index;
        self.len -= 1;
        match old {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.slots.get(index as usize)? {
            (_, Slot::Used(value)) => Some(value),
            (_, Slot::Free { .. }) => None,
        }
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.slots.get_mut(index as usize)? {
            (_, Slot::Used(value)) => Some(value),
            (_, Slot::Free { .. }) => None,
        }
    }

    /// The record of `key`, if that very record still lives.
    pub(crate) fn find(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.index as usize)? {
            (generation, Slot::Used(value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    pub(crate) fn find_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.index as usize)? {
            (generation, Slot::Used(value)) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// A used index with its full key.
    pub(crate) fn entry_mut(&mut self, index: u32) -> Option<(Key, &mut T)> {
        match self.slots.get_mut(index as usize)? {
            (generation, Slot::Used(value)) => Some((
                Key {
                    index,
                    generation: *generation,
                },
                value,
            )),
            (_, Slot::Free { .. }) => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(index, (_, slot))| match slot {
                Slot::Used(value) => Some((index as u32, value)),
                Slot::Free { .. } => None,
            })
    }

    /// Takes out the record of `key`, if that very record still lives.
    pub(crate) fn take(&mut self, key: Key) -> Option<T> {
        self.find(key)?;
        self.remove(key.index)
    }

    /// Every record with its full key.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots
            .iter()
            .zip(0..)
            .filter_map(|((generation, slot), index)| match slot {
                Slot::Used(value) => Some((
                    Key {
                        index,
                        generation: *generation,
                    },
                    value,
                )),
                Slot::Free { .. } => None,
            })
    }
}

/// A public identifier for the records of one slab: the key, packed.
macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(u64);

        impl $name {
            pub(crate) fn from_key(key: $crate::slab::Key) -> Self {
                Self(u64::from(key.generation) << 32 | u64::from(key.index))
            }

            pub(crate) fn key(self) -> $crate::slab::Key {
                $crate::slab::Key { index: self.0 as u32, generation: (self.0 >> 32) as u32 }
            }
        }
    };
}

pub(crate) use identifier;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_dies_with_its_record() {
        let mut slab = Slab::new();
        let (first, second) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.take(first), Some('a'));
        assert_eq!(slab.take(first), None);
        let third = slab.insert('c');
        assert_ne!(third, first);
        assert_eq!(third.index, first.index, "the place is used again");
        assert_eq!(slab.find(first), None);
        assert_eq!(slab.find(third), Some(&'c'));
        assert!(slab.entries().map(|(key, _)| key).eq([third, second]));
        assert_eq!(slab.len(), 2);
    }
}
