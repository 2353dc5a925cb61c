//! How partition directories are named.
//!
//! `partitions/<topic>-<partition>.<topic id>`: the first half is for people, the second makes a topic that is created
//! again under an old name another directory. A directory whose removal has begun ends in `.deleted`.

use crate::disk::LogPath;
use crate::ids::{PartitionId, PartitionIndex, TopicId};

/// The directory that holds all partition directories.
pub const PARTITIONS: &str = "partitions";

const DELETED: &str = ".deleted";
const NAME_BYTES_MAX: usize = 180;

/// The directory of one partition. A topic name that would not fit a file name is cut; the id still tells it apart.
pub fn path_of(topic: &str, partition: PartitionId) -> LogPath {
    let name = &topic[..topic.len().min(NAME_BYTES_MAX)];
    LogPath::root().join(PARTITIONS).join(&format!("{name}-{}.{}", partition.index, partition.topic))
}

/// The name that a directory gets before it is removed.
pub fn deleted(directory: &LogPath) -> LogPath {
    LogPath::root().join(PARTITIONS).join(&format!("{}{DELETED}", directory.name()))
}

/// Whether the removal of the directory `name` has begun.
pub fn is_deleted(name: &str) -> bool {
    name.ends_with(DELETED)
}

/// The partition whose directory is called `name`.
pub fn parse(name: &str) -> Option<PartitionId> {
    let (readable, id) = name.strip_suffix(DELETED).unwrap_or(name).rsplit_once('.')?;
    let (_, index) = readable.rsplit_once('-')?;
    let canonical = id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let topic = TopicId(u128::from_str_radix(id, 16).ok().filter(|_| canonical)?);
    let index = PartitionIndex(index.parse().ok().filter(|&index: &i32| index >= 0)?);
    Some(PartitionId { topic, index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_names_its_partition() {
        let partition = PartitionId { topic: TopicId(0xabc), index: PartitionIndex(12) };
        for topic in ["orders", "a.b-c_d", "-", &"x".repeat(249)] {
            let path = path_of(topic, partition);
            assert_eq!(parse(path.name()), Some(partition), "{path}");
            assert!(!is_deleted(path.name()));
            assert_eq!(parse(deleted(&path).name()), Some(partition), "{path}");
            assert!(is_deleted(deleted(&path).name()) && deleted(&path).name().len() <= 255);
        }
    }

    #[test]
    fn other_names_are_no_partitions() {
        for name in ["", "lost+found", "orders-0", "orders-0.12", "orders-x.00000000000000000000000000000abc"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
