//! One directory: its names as the process sees them, and which of them would survive losing power.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::InodeId;

/// What was done to a directory's names since its last sync.
#[derive(Debug)]
struct NameOp {
    seq: u64,
    /// The names that it changed, and what they lead to since.
    changes: Vec<(String, Option<InodeId>)>,
    /// The other directory of a rename that left this one: both halves survive, or neither.
    partner: Option<InodeId>,
}

/// A directory and its unsynced operations.
#[derive(Debug, Default)]
pub(super) struct DirectoryImage {
    live: BTreeMap<String, InodeId>,
    durable: BTreeMap<String, InodeId>,
    unsynced: VecDeque<NameOp>,
}

impl DirectoryImage {
    pub(super) fn names(&self) -> &BTreeMap<String, InodeId> {
        &self.live
    }

    /// Changes names, visible at once.
    pub(super) fn change(&mut self, seq: u64, changes: Vec<(String, Option<InodeId>)>, partner: Option<InodeId>) {
        changes.iter().for_each(|change| set(&mut self.live, change));
        self.unsynced.push_back(NameOp { seq, changes, partner });
    }

    /// Everything up to an operation is durable now; returns the other directories that this concerns, and up to where.
    pub(super) fn make_durable(&mut self, upto: u64) -> Vec<(InodeId, u64)> {
        let mut partners = Vec::new();
        while let Some(op) = self.unsynced.pop_front_if(|op| op.seq <= upto) {
            op.changes.iter().for_each(|change| set(&mut self.durable, change));
            partners.extend(op.partner.map(|partner| (partner, op.seq)));
        }
        partners
    }

    /// The operations that a loss of power may undo.
    pub(super) fn unsynced(&self) -> impl Iterator<Item = u64> + '_ {
        self.unsynced.iter().map(|op| op.seq)
    }

    /// The directory as it is found after power was lost, given the operations that survived.
    pub(super) fn after_power_loss(&self, survived: &BTreeSet<u64>) -> Self {
        let mut names = self.durable.clone();
        for op in self.unsynced.iter().filter(|op| survived.contains(&op.seq)) {
            for change in &op.changes {
                // An inode that was renamed twice, the first time in vain, must not keep its oldest name too.
                names.retain(|_, inode| change.1 != Some(*inode));
                set(&mut names, change);
            }
        }
        Self { live: names.clone(), durable: names, unsynced: VecDeque::new() }
    }
}

fn set(names: &mut BTreeMap<String, InodeId>, (name, inode): &(String, Option<InodeId>)) {
    match inode {
        Some(inode) => names.insert(name.clone(), *inode),
        None => names.remove(name),
    };
}
