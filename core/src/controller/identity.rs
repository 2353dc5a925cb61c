//! Whose data directory this is.
//!
//! The file `highwater.meta` in the data directory's root says which format the directory has, which cluster and node it
//! belongs to, and the random id by which the directory itself is known. It is written once, when the directory is first
//! used, and made durable by the same sync as the first records of the metadata log: if power is lost before that,
//! either may be missing, and is made again from the other.

use std::collections::BTreeMap;
use std::io;

use highwater_wire::Uuid;

use crate::disk::{Disk, LogPath, read_file};
use crate::ids::BrokerId;

/// The format of the data directory that this version reads and writes.
const FORMAT: u32 = 1;

/// The file's name.
const FILE: &str = "highwater.meta";

/// A file of Apache Kafka's data directories.
const KAFKA_FILE: &str = "meta.properties";

/// Bytes of the file that are worth reading.
const BYTES_MAX: u64 = 4096;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub cluster_id: String,
    pub node_id: BrokerId,
    pub directory_id: u128,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentityError {
    #[error("{FILE} is damaged: {0}; restore it, or move the data directory away to start with an empty one")]
    Damaged(&'static str),
    #[error("the data directory has format {0}, which is newer than this version of Highwater; use a newer one")]
    Newer(u32),
    #[error("the data directory is one of Apache Kafka; give Highwater a directory of its own")]
    Kafka,
    #[error("the data directory belongs to node.id {found}, not {wanted}; use its node.id or another directory")]
    OtherNode { found: BrokerId, wanted: BrokerId },
    #[error("the data directory belongs to cluster {found}, not {wanted}; use its cluster.id or another directory")]
    OtherCluster { found: String, wanted: String },
    #[error("cannot read {FILE}: {0}")]
    Io(#[from] io::Error),
}

impl Identity {
    /// Reads the file; `None` where there is none.
    pub fn read(disk: &mut impl Disk) -> Result<Option<Self>, IdentityError> {
        match read_file(disk, &path(), BYTES_MAX)? {
            Some(bytes) => Self::parse(&bytes).map(Some),
            None if read_file(disk, &LogPath::root().join(KAFKA_FILE), u64::MAX)?.is_some() => {
                Err(IdentityError::Kafka)
            }
            None => Ok(None),
        }
    }

    /// Writes the file. Durable after the next sync of the root.
    pub fn write(&self, disk: &mut impl Disk) -> io::Result<()> {
        let Self { cluster_id, node_id, directory_id } = self;
        let directory_id = Uuid(*directory_id);
        let text =
            format!("format={FORMAT}\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\n");
        disk.replace(&path(), text.as_bytes())
    }

    /// Checks that the directory is the one that was meant.
    pub fn check(&self, node_id: BrokerId, cluster_id: Option<&str>) -> Result<(), IdentityError> {
        if self.node_id != node_id {
            return Err(IdentityError::OtherNode { found: self.node_id, wanted: node_id });
        }
        match cluster_id {
            Some(wanted) if wanted != self.cluster_id => {
                Err(IdentityError::OtherCluster { found: self.cluster_id.clone(), wanted: wanted.to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, IdentityError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::Damaged("it is not text"))?;
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let value = |key, missing| values.get(key).copied().ok_or(IdentityError::Damaged(missing));
        let format = value("format", "it names no format")?.parse();
        let format: u32 = format.map_err(|_| IdentityError::Damaged("its format is no number"))?;
        if format > FORMAT {
            return Err(IdentityError::Newer(format));
        }
        let cluster_id = value("cluster.id", "it names no cluster.id")?.to_owned();
        let node_id = value("node.id", "it names no node.id")?.parse();
        let directory_id = value("directory.id", "it names no directory.id")?.parse::<Uuid>();
        Ok(Self {
            cluster_id,
            node_id: BrokerId(node_id.map_err(|_| IdentityError::Damaged("its node.id is no number"))?),
            directory_id: directory_id.map_err(|_| IdentityError::Damaged("its directory.id is no id"))?.0,
        })
    }
}

fn path() -> LogPath {
    LogPath::root().join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::memory::MemoryDisk;

    fn identity() -> Identity {
        Identity { cluster_id: "c".into(), node_id: BrokerId(3), directory_id: 77 }
    }

    #[test]
    fn an_identity_survives_its_file() {
        let mut disk = MemoryDisk::new();
        assert_eq!(Identity::read(&mut disk).unwrap(), None);
        identity().write(&mut disk).unwrap();
        assert_eq!(Identity::read(&mut disk).unwrap(), Some(identity()));
    }

    #[test]
    fn a_directory_of_another_node_cluster_or_format_is_refused() {
        let check = |result: Result<(), IdentityError>, expected: &str| {
            assert_eq!(result.expect_err(expected).to_string(), expected);
        };
        check(
            identity().check(BrokerId(1), None),
            "the data directory belongs to node.id 3, not 1; use its node.id or another directory",
        );
        check(
            identity().check(BrokerId(3), Some("d")),
            "the data directory belongs to cluster c, not d; use its cluster.id or another directory",
        );
        check(
            Identity::parse(b"format=2\n").map(drop),
            "the data directory has format 2, which is newer than this version of Highwater; use a newer one",
        );
        check(
            Identity::parse(b"format=1\ncluster.id=c\nnode.id=x\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\n").map(drop),
            "highwater.meta is damaged: its node.id is no number; restore it, or move the data directory away to start \
             with an empty one",
        );
        let mut disk = MemoryDisk::new();
        disk.replace(&LogPath::root().join(KAFKA_FILE), b"version=1\n").unwrap();
        check(
            Identity::read(&mut disk).map(drop),
            "the data directory is one of Apache Kafka; give Highwater a directory of its own",
        );
    }
}
