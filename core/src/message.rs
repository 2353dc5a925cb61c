//! What the shards of one broker say to each other.

/// A message between two shards. The driver only carries it.
#[derive(Debug)]
pub enum ShardMessage {}
