//! One file: its bytes as the process sees them, and what of them would survive losing power.
//!
//! Only the live bytes are stored whole. What is not yet durable is a list of operations that can be undone: an append
//! is a length, a truncation keeps the bytes that it cut. The durable image is made only when power is lost.
//!
//! Invariant: undoing every unsynced operation, newest first, gives the durable bytes.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use highwater_core::disk::FileBytes;

use super::InodeId;
use crate::rng::Stream;

/// The unit in which a disk writes: what lies in one survives together, unless it tears.
const SECTOR: usize = 512;

/// A file's bytes, shared with the pins that were given out.
#[derive(Debug)]
pub struct Content {
    pub(super) inode: InodeId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bytes: Vec<u8>,
    /// The operation that gave the file other bytes because these were pinned.
    retired_by: Option<u64>,
}

impl Content {
    fn new(inode: InodeId, bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { inode, state: Mutex::new(State { bytes, retired_by: None }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds a file's bytes")
    }

    /// The last operation that a sync through this pin can cover, if the file went on without it.
    pub(super) fn retired_by(&self) -> Option<u64> {
        self.lock().retired_by
    }
}

impl FileBytes for Content {
    fn read_exact_at(&self, pos: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.lock();
        let start = usize::try_from(pos).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(state.bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What was done to a file since its last sync.
#[derive(Debug)]
enum FileOp {
    /// The file grew by `len` bytes.
    Append { len: usize },
    /// The file lost its tail.
    Truncate { cut: Vec<u8> },
}

/// A file and its unsynced operations.
#[derive(Debug)]
pub(super) struct FileImage {
    content: Arc<Content>,
    unsynced: VecDeque<(u64, FileOp)>,
    /// Whether a name leads to it: else its bytes take no room.
    pub(super) linked: bool,
}

impl FileImage {
    /// A file whose bytes are durable as soon as its name is.
    pub(super) fn new(inode: InodeId, bytes: Vec<u8>) -> Self {
        Self { content: Content::new(inode, bytes), unsynced: VecDeque::new(), linked: true }
    }

    pub(super) fn content(&self) -> &Arc<Content> {
        &self.content
    }

    pub(super) fn len(&self) -> u64 {
        self.content.lock().bytes.len() as u64
    }

    pub(super) fn unsynced_bytes(&self) -> u64 {
        self.unsynced.iter().map(|(_, op)| if let FileOp::Append { len } = op { *len as u64 } else { 0 }).sum()
    }

    pub(super) fn append(&mut self, seq: u64, parts: &[&[u8]]) -> u64 {
        let mut state = self.content.lock();
        let before = state.bytes.len();
        parts.iter().for_each(|part| state.bytes.extend_from_slice(part));
        let len = state.bytes.len();
        drop(state);
        self.unsynced.push_back((seq, FileOp::Append { len: len - before }));
        len as u64
    }

    pub(super) fn read_at(&self, pos: u64, out: &mut [u8]) -> usize {
        let state = self.content.lock();
        let start = usize::try_from(pos).unwrap_or(usize::MAX).min(state.bytes.len());
        let len = out.len().min(state.bytes.len() - start);
        out[..len].copy_from_slice(&state.bytes[start..start + len]);
        len
    }

    /// Cuts the file; where somebody has pinned it, the file goes on with a copy.
    pub(super) fn truncate(&mut self, seq: u64, len: u64) {
        let len = usize::try_from(len).expect("a length in memory fits");
        let mut state = self.content.lock();
        assert!(len <= state.bytes.len(), "truncation to {len} would extend a file of {}", state.bytes.len());
        let cut = if Arc::strong_count(&self.content) == 1 {
            state.bytes.split_off(len)
        } else {
            state.retired_by = Some(seq);
            let (kept, cut) = state.bytes.split_at(len);
            let (kept, cut) = (kept.to_vec(), cut.to_vec());
            drop(state);
            self.content = Content::new(self.content.inode, kept);
            return self.unsynced.push_back((seq, FileOp::Truncate { cut }));
        };
        drop(state);
        self.unsynced.push_back((seq, FileOp::Truncate { cut }));
    }

    /// Everything up to an operation is durable now.
    pub(super) fn make_durable(&mut self, upto: u64) {
        while self.unsynced.front().is_some_and(|(seq, _)| *seq <= upto) {
            self.unsynced.pop_front();
        }
    }

    /// The file as it is found after power was lost.
    pub(super) fn after_power_loss(&self, rng: &mut Stream) -> Vec<u8> {
        let live = self.content.lock().bytes.clone();
        if self.unsynced.is_empty() {
            return live;
        }
        let past = self.past(live);
        match rng.below(8) {
            0 => past.state(0).to_vec(),
            1 => past.state(past.states.len() - 1).to_vec(),
            2..=4 => past.torn_prefix(rng),
            _ => past.scattered(rng),
        }
    }

    /// Undoes the unsynced operations.
    fn past(&self, live: Vec<u8>) -> Past {
        let mut len = live.len();
        let mut past = Past { layers: vec![live], states: vec![(0, len)] };
        for (_, op) in self.unsynced.iter().rev() {
            match op {
                FileOp::Append { len: added } => len -= added,
                FileOp::Truncate { cut } => {
                    let layer = [&past.layers[past.layers.len() - 1][..len], cut].concat();
                    len = layer.len();
                    past.layers.push(layer);
                }
            }
            past.states.push((past.layers.len() - 1, len));
        }
        past.states.reverse();
        past
    }
}

/// The durable bytes, then the bytes after each unsynced operation. Each is the beginning of a layer, since only a
/// truncation makes bytes differ.
struct Past {
    layers: Vec<Vec<u8>>,
    states: Vec<(usize, usize)>,
}

impl Past {
    fn state(&self, index: usize) -> &[u8] {
        let (layer, len) = self.states[index];
        &self.layers[layer][..len]
    }

    fn any(&self, rng: &mut Stream) -> &[u8] {
        self.state(rng.index(self.states.len()))
    }

    /// Some operations survived in order, and a part of the next.
    fn torn_prefix(&self, rng: &mut Stream) -> Vec<u8> {
        let whole = rng.index(self.states.len() - 1);
        let (old, new) = (self.state(whole), self.state(whole + 1));
        if new.len() <= old.len() {
            return old.to_vec();
        }
        new[..rng.between(old.len() as u64, new.len() as u64) as usize].to_vec()
    }

    /// Each sector that was written is found in any of its states, or torn between two of them, whatever the others
    /// are.
    fn scattered(&self, rng: &mut Stream) -> Vec<u8> {
        let lens = || self.states.iter().map(|(_, len)| *len);
        let (shortest, longest) = (lens().min().unwrap_or(0), lens().max().unwrap_or(0));
        let len = match rng.chance(600) {
            true => self.any(rng).len(),
            false => rng.between(shortest as u64, longest as u64) as usize,
        };
        let lost_per_mille = *rng.pick(&[50, 300, 700]);
        // The shortest state is the beginning of all the others.
        let mut image = self.state(0)[..len.min(shortest / SECTOR * SECTOR)].to_vec();
        while image.len() < len {
            let sector = image.len()..len.min(image.len() + SECTOR);
            let new = if rng.chance(lost_per_mille) { self.any(rng) } else { self.state(self.states.len() - 1) };
            let old = if rng.chance(100) { self.any(rng) } else { new };
            let tear = sector.start + rng.index(sector.len());
            image.extend(sector.map(|at| *if at < tear { new } else { old }.get(at).unwrap_or(&0)));
        }
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Concern;

    fn file() -> FileImage {
        FileImage::new(InodeId(1), Vec::new())
    }

    fn losses(file: &FileImage) -> Vec<Vec<u8>> {
        let mut rng = Stream::new(1, Concern::Disk, 0);
        (0..500).map(|_| file.after_power_loss(&mut rng)).collect()
    }

    #[test]
    fn synced_bytes_survive_every_loss_of_power() {
        let mut file = file();
        file.append(1, &[&[7; 700]]);
        file.make_durable(1);
        file.append(2, &[&[8; 5000]]);
        assert!(losses(&file).iter().all(|image| image.len() >= 700 && image[..700] == [7; 700]));
    }

    #[test]
    fn unsynced_bytes_survive_vanish_and_tear() {
        let mut file = file();
        file.append(1, &[&[8; 5000]]);
        let images = losses(&file);
        assert!(images.iter().any(Vec::is_empty), "all may vanish");
        assert!(images.contains(&vec![8; 5000]), "all may survive");
        let hole = |image: &Vec<u8>| image.windows(2).any(|pair| pair == [0, 8]);
        assert!(images.iter().any(hole), "a later sector may survive an earlier one");
        let torn = |image: &Vec<u8>| !image.len().is_multiple_of(SECTOR) && image.len() < 5000;
        assert!(images.iter().any(torn), "a sector may tear");
    }

    #[test]
    fn an_unsynced_truncation_may_be_undone() {
        let mut file = file();
        file.append(1, &[&[1; 100]]);
        file.make_durable(1);
        file.truncate(2, 40);
        file.append(3, &[&[2; 60]]);
        let images = losses(&file);
        assert!(images.contains(&vec![1; 100]), "the truncation is undone");
        assert!(images.contains(&[[1; 40].as_slice(), &[2; 60]].concat()), "everything survives");
        assert!(images.iter().all(|image| image.len() >= 40 && image[..40] == [1; 40]));
    }

    #[test]
    fn pinned_bytes_outlive_a_truncation() {
        let mut file = file();
        file.append(1, &[b"abcdef"]);
        let pin = file.content().clone();
        file.truncate(2, 2);
        file.append(3, &[b"XY"]);
        let mut out = [0; 6];
        pin.read_exact_at(0, &mut out).unwrap();
        assert_eq!((&out, file.len()), (b"abcdef", 4));
        assert_eq!(pin.retired_by(), Some(2), "a sync through the old pin covers nothing later");
    }
}
