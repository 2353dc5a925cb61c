//! The data directory's owner: one process at a time.
//!
//! The lock is the kernel's (`flock`), so it ends with the process, however that ends; the file only tells who holds it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::disk::SCRATCH_DIRECTORY;

const LOCK_FILE: &str = ".lock";

/// A data directory that no other process uses for as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made, read or written.
    #[error("data directory {}: cannot {action}: {error}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        error: io::Error,
    },
    /// Another process has it.
    #[error("data directory {} is in use by {owner}; stop it, or choose another directory with --data", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other process, as far as it can be told.
        owner: String,
    },
}

impl DataDir {
    /// Makes the directory if there is none, takes its lock, and removes what an earlier process left unfinished.
    ///
    /// # Errors
    /// Another process holds it, or the operating system refuses.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |action| move |error| DataDirError::Io { path: path.to_owned(), action, error };
        fs::create_dir_all(path).map_err(failed("create it"))?;
        let path = path.canonicalize().map_err(failed("resolve its path"))?;
        let lock = lock(&path)?;
        let scratch = path.join(SCRATCH_DIRECTORY);
        match fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("clear its scratch files")(error));
            }
            _ => {}
        }
        fs::create_dir(&scratch).map_err(failed("write to it"))?;
        Ok(Self { path, _lock: lock })
    }

    /// The directory's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(directory: &Path) -> Result<File, DataDirError> {
    let failed = |action| move |error| DataDirError::Io { path: directory.to_owned(), action, error };
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(directory.join(LOCK_FILE)).map_err(failed("open its lock file"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DataDirError::Locked { path: directory.to_owned(), owner: owner(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(failed("lock it")(error)),
    }
    let noted = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    noted.map_err(failed("write its lock file"))?;
    Ok(file)
}

/// Who holds the lock: the process notes its id only after it has the lock, so the note may be missing for a moment.
fn owner(file: &mut File) -> String {
    let mut note = String::new();
    let read = file.take(20).read_to_string(&mut note);
    match (read, note.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}
