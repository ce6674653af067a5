//! Records with identities that are never used twice: an index for speed, a generation against stale identities.

use alloc::vec::Vec;

/// Records by identity. An identity is a generation in the upper and an index in the lower 32 bits, and never zero.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Adds a record and says its identity.
    pub(crate) fn insert(&mut self, value: T) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry {
                generation: 0,
                value: None,
            });
            (self.entries.len() - 1) as u32
        });
        let entry = &mut self.entries[index as usize];
        // Zero is skipped, so that no identity is zero.
        entry.generation = entry.generation.wrapping_add(1).max(1);
        entry.value = Some(value);
        u64::from(entry.generation) << 32 | u64::from(index)
    }

    /// Takes a record out.
    pub(crate) fn remove(&mut self, id: u64) -> Option<T> {
        let value = self.entry_mut(id)?.value.take();
        if value.is_some() {
            self.free.push(id as u32);
        }
        value
    }

    pub(crate) fn get(&self, id: u64) -> Option<&T> {
        let entry = self.entries.get(id as u32 as usize)?;
        if entry.generation == (id >> 32) as u32 {
            entry.value.as_ref()
        } else {
            None
        }
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.entry_mut(id)?.value.as_mut()
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Every record with its identity.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            Some((u64::from(entry.generation) << 32 | index as u64, entry.value.as_ref()?))
        })
    }

    fn entry_mut(&mut self, id: u64) -> Option<&mut Entry<T>> {
        let entry = self.entries.get_mut(id as u32 as usize)?;
        (entry.generation == (id >> 32) as u32).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_dies_with_its_record() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        let second = slab.insert('b');
        assert_eq!(slab.remove(first), Some('a'));
        assert_eq!(slab.remove(first), None);
        let third = slab.insert('c');
        assert_ne!(third, first);
        assert_eq!(third as u32, first as u32, "the place is used again");
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get(third), Some(&'c'));
        assert!(slab.iter().map(|(id, _)| id).eq([third, second]));
        assert_eq!(slab.len(), 2);
    }
}
