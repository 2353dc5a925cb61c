//! What batches were found to hold. A batch is read again and again, by consumers, members and auditors: what its bytes
//! say is found out once, and only said again while they are the same.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use highwater_wire::records::{Record, records, verify_crc};

use super::Place;
use crate::records::RecordId;

/// A record that was found in a batch and is, byte for byte, what somebody sent.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Which.
    pub id: RecordId,
    /// Where it stands.
    pub offset: i64,
    /// Its timestamp there.
    pub timestamp: i64,
}

/// Batches by partition and base offset: their bytes, and what is in them.
#[derive(Debug, Default)]
pub struct Batches(BTreeMap<(Place, i64), Known>);

type Known = (Bytes, Rc<[Found]>);

/// Bytes that one batch of a simulated producer may decompress to.
const DECOMPRESSED_BYTES_MAX: u64 = 1 << 24;

impl Batches {
    /// What these bytes were found to hold, if they stood there before.
    pub fn known(&self, place: Place, base_offset: i64, batch: &Bytes) -> Option<Rc<[Found]>> {
        let (bytes, found) = self.0.get(&(place, base_offset))?;
        (bytes == batch).then(|| Rc::clone(found))
    }

    /// Remembers what was found.
    pub fn learn(&mut self, place: Place, base_offset: i64, batch: Bytes, found: Vec<Found>) -> Rc<[Found]> {
        let found: Rc<[Found]> = found.into();
        self.0.insert((place, base_offset), (batch, Rc::clone(&found)));
        found
    }
}

/// Takes the records out of a batch.
///
/// # Errors
/// What is wrong with its bytes.
pub fn open(batch: &Bytes) -> Result<Vec<Record>, String> {
    verify_crc(batch).map_err(|error| error.to_string())?;
    let records = records(batch, DECOMPRESSED_BYTES_MAX).map_err(|error| error.to_string())?;
    records.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_at_the_same_place_are_known() {
        let (mut batches, place) = (Batches::default(), Place { topic: 0, partition: 0 });
        let found = Found { id: RecordId { writer: 0, number: 0 }, offset: 7, timestamp: 0 };
        batches.learn(place, 7, Bytes::from_static(b"batch"), vec![found]);
        assert_eq!(batches.known(place, 7, &Bytes::from_static(b"batch")).unwrap().len(), 1);
        assert!(batches.known(place, 7, &Bytes::from_static(b"botch")).is_none());
        assert!(batches.known(place, 8, &Bytes::from_static(b"batch")).is_none());
        assert!(batches.known(Place { topic: 1, ..place }, 7, &Bytes::from_static(b"batch")).is_none());
    }
}
