//! The same random verbs on two disks, which must answer alike: how the simulated disk is held to the real one.

use std::fmt::Debug;
use std::io;

use highwater_core::Disk;
use highwater_core::disk::{FileBytes, LogPath, OpenMode, Pin};
use highwater_core::ids::FileId;

use crate::rng::{Concern, Stream};

/// A file that is open on both disks.
struct Both {
    a: FileId,
    b: FileId,
}

/// A pin that was taken on both disks, with the length that it must keep readable.
struct BothPinned {
    a: Pin,
    b: Pin,
    len: u64,
}

/// How many files are open at once at most.
const OPEN_MAX: usize = 8;

/// Does `steps` random verbs on both disks and compares every answer: values, kinds of errors, bytes.
///
/// # Panics
/// At the first difference, with the seed and the step.
pub fn differential(a: impl Disk, b: impl Disk, seed: u64, steps: usize) {
    let rng = Stream::new(seed, Concern::Disk, 0);
    let mut run = Differential { a, b, rng, seed, step: 0, open: Vec::new(), pinned: Vec::new() };
    for step in 0..steps {
        run.step = step;
        run.step();
    }
    run.compare_trees(&LogPath::root());
}

struct Differential<A, B> {
    a: A,
    b: B,
    rng: Stream,
    seed: u64,
    step: usize,
    open: Vec<Both>,
    pinned: Vec<BothPinned>,
}

impl<A: Disk, B: Disk> Differential<A, B> {
    fn step(&mut self) {
        match self.rng.below(24) {
            0..=2 => self.open(),
            3 => self.close(),
            4..=11 => self.append(),
            12..=14 => self.read(),
            15..=16 => self.truncate(),
            17 => self.pin(),
            18 => self.on_path("create_dir", A::create_dir, B::create_dir),
            19 => self.on_path("remove", A::remove, B::remove),
            20 => self.rename(),
            21 => self.replace(),
            22 => self.on_path("list", |a, path| a.list(path), |b, path| b.list(path)),
            _ => self.read_pins(),
        }
    }

    fn open(&mut self) {
        if self.open.len() == OPEN_MAX {
            return self.close();
        }
        let path = self.file_path();
        let mode = *self.rng.pick(&[OpenMode::Existing, OpenMode::New]);
        let (a, b) = (self.a.open(&path, mode), self.b.open(&path, mode));
        if let (Ok(a), Ok(b)) = (&a, &b) {
            self.open.push(Both { a: *a, b: *b });
        }
        self.same(&format!("open {path} {mode:?}"), a.map(|_| ()), b.map(|_| ()));
    }

    fn close(&mut self) {
        if let Some(at) = self.any_open() {
            let file = self.open.remove(at);
            self.a.close(file.a);
            self.b.close(file.b);
        }
    }

    fn append(&mut self) {
        let Some(at) = self.any_open() else { return };
        let parts: Vec<Vec<u8>> = (0..self.rng.index(4)).map(|_| self.bytes()).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let (a, b) = (self.a.append(self.open[at].a, &parts), self.b.append(self.open[at].b, &parts));
        self.same("append", a, b);
    }

    fn read(&mut self) {
        let Some(at) = self.any_open() else { return };
        let (mut in_a, mut in_b) = (vec![0; self.rng.index(600)], Vec::new());
        in_b.resize(in_a.len(), 0);
        let pos = self.rng.below(5000);
        let (a, b) = (self.a.read_at(self.open[at].a, pos, &mut in_a), self.b.read_at(self.open[at].b, pos, &mut in_b));
        self.same("read_at", a.map(|read| in_a[..read].to_vec()), b.map(|read| in_b[..read].to_vec()));
        let (a, b) = (self.a.len(self.open[at].a), self.b.len(self.open[at].b));
        self.same("len", a, b);
    }

    fn truncate(&mut self) {
        let Some(at) = self.any_open() else { return };
        let len = self.a.len(self.open[at].a).unwrap_or(0);
        let len = self.rng.between(0, len);
        let (a, b) = (self.a.truncate(self.open[at].a, len), self.b.truncate(self.open[at].b, len));
        self.same("truncate", a, b);
    }

    fn pin(&mut self) {
        let Some(at) = self.any_open() else { return };
        let len = self.a.len(self.open[at].a).unwrap_or(0);
        self.pinned.push(BothPinned { a: self.a.pin(self.open[at].a), b: self.b.pin(self.open[at].b), len });
    }

    fn read_pins(&mut self) {
        for at in 0..self.pinned.len() {
            let BothPinned { a, b, len } = &self.pinned[at];
            let (a, b) = (read_whole(&**a, *len), read_whole(&**b, *len));
            self.same("read a pin", a, b);
        }
        if self.rng.chance(200) {
            self.pinned.clear();
        }
    }

    fn rename(&mut self) {
        let (from, to) = (self.file_path(), self.file_path());
        let (a, b) = (self.a.rename(&from, &to), self.b.rename(&from, &to));
        self.same(&format!("rename {from} {to}"), a, b);
    }

    fn replace(&mut self) {
        let (path, bytes) = (self.file_path(), self.bytes());
        let (a, b) = (self.a.replace(&path, &bytes), self.b.replace(&path, &bytes));
        self.same(&format!("replace {path}"), a, b);
    }

    fn on_path<T: Debug + PartialEq>(
        &mut self,
        verb: &str,
        on_a: impl FnOnce(&mut A, &LogPath) -> io::Result<T>,
        on_b: impl FnOnce(&mut B, &LogPath) -> io::Result<T>,
    ) {
        let path = if verb == "remove" && self.rng.chance(700) { self.file_path() } else { self.dir_path() };
        let (a, b) = (on_a(&mut self.a, &path), on_b(&mut self.b, &path));
        self.same(&format!("{verb} {path}"), a, b);
    }

    fn compare_trees(&mut self, dir: &LogPath) {
        let (a, b) = (self.a.list(dir), self.b.list(dir));
        let entries = a.as_ref().map(Clone::clone).unwrap_or_default();
        self.same(&format!("list {dir}"), a, b);
        for entry in entries {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                self.compare_trees(&path);
            } else {
                let a = highwater_core::disk::read_file(&mut self.a, &path, u64::MAX);
                let b = highwater_core::disk::read_file(&mut self.b, &path, u64::MAX);
                self.same(&format!("contents of {path}"), a, b);
            }
        }
    }

    fn same<T: Debug + PartialEq>(&self, verb: &str, a: io::Result<T>, b: io::Result<T>) {
        let (a, b) = (a.map_err(|error| error.kind()), b.map_err(|error| error.kind()));
        assert_eq!(a, b, "the disks differ on {verb:?} in step {} of seed {}", self.step, self.seed);
    }

    fn any_open(&mut self) -> Option<usize> {
        if self.open.is_empty() { None } else { Some(self.rng.index(self.open.len())) }
    }

    /// A directory, nested or not; never the root, which cannot be removed.
    fn dir_path(&mut self) -> LogPath {
        let dir = LogPath::root().join(self.rng.pick::<&str>(&["d0", "d1"]));
        if self.rng.chance(300) { dir.join("sub") } else { dir }
    }

    /// Where only files are made, so that no verb meets a file where it expects a directory.
    fn file_path(&mut self) -> LogPath {
        let dir = if self.rng.chance(400) { LogPath::root() } else { self.dir_path() };
        dir.join(self.rng.pick::<&str>(&["a", "b", "c"]))
    }

    fn bytes(&mut self) -> Vec<u8> {
        let byte = self.rng.below(256) as u8;
        vec![byte; self.rng.index(300)]
    }
}

fn read_whole(pin: &dyn FileBytes, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    pin.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}
