//! Kafka's records as records of a replicated machine.

use bytes::Bytes;
use highwater_wire::GroupRecord;

use crate::replicated::{LogRecord, RecordError};

impl LogRecord for GroupRecord {
    fn to_key_value(&self) -> (Option<Bytes>, Option<Bytes>) {
        let (key, value) = self.encode().expect("what requests carry, and ids made of it, are strings of the wire");
        (Some(key), value)
    }

    /// A log taken over from Kafka may hold records of share and streams groups: they are skipped, as Kafka skips what it
    /// does not know.
    fn from_key_value(key: Option<Bytes>, value: Option<Bytes>) -> Result<Option<Self>, RecordError> {
        let malformed = |what: &dyn std::fmt::Display| RecordError::Malformed(what.to_string());
        let key = key.ok_or_else(|| malformed(&"it has no key"))?;
        Self::decode(&key, value.as_ref()).map_err(|error| malformed(&error))
    }
}
