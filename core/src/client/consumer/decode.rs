//! From the bytes of a fetched partition to the records that its reader may see.

use std::collections::BTreeSet;

use bytes::Bytes;
use highwater_wire::fetch::AbortedTransaction;
use highwater_wire::records::{BatchError, BatchHeader, Batches, ControlType, Record, records, verify_crc};

use crate::client::boundary::ConsumeError;
use crate::client::config::Isolation;
use crate::ids::Offset;
use crate::limits::DECOMPRESSED_BATCH_BYTES_MAX;

/// What one answer brings for one partition.
#[derive(Debug, PartialEq)]
pub(super) struct Decoded {
    pub records: Vec<Record>,
    /// Where to go on: past the last whole batch, also where it held nothing to see.
    pub next_offset: Offset,
}

/// Takes the records at `from` and after it out of whole batches; a batch that is cut off is left for the next answer.
pub(super) fn decode(
    bytes: Bytes,
    from: Offset,
    isolation: Isolation,
    aborted: &[AbortedTransaction],
) -> Result<Decoded, ConsumeError> {
    let mut decoded = Decoded { records: Vec::new(), next_offset: from };
    let mut transactions = Transactions::new(isolation, aborted);
    for batch in Batches(bytes) {
        let result = batch.and_then(|(header, batch)| decoded.add(&header, &batch, from, &mut transactions));
        result.map_err(|error| ConsumeError::Damaged { offset: decoded.next_offset, reason: error.to_string() })?;
    }
    Ok(decoded)
}

impl Decoded {
    fn add(
        &mut self,
        header: &BatchHeader,
        batch: &Bytes,
        from: Offset,
        transactions: &mut Transactions,
    ) -> Result<(), BatchError> {
        verify_crc(batch)?;
        let hidden = transactions.hides(header, batch)?;
        if !hidden && header.next_offset() > from.0 {
            for record in records(batch, DECOMPRESSED_BATCH_BYTES_MAX)? {
                let record = record?;
                if record.offset >= from.0 {
                    self.records.push(record);
                }
            }
        }
        self.next_offset = self.next_offset.max(Offset(header.next_offset()));
        Ok(())
    }
}

/// Which transactions a reader must not see.
struct Transactions {
    isolation: Isolation,
    /// Aborted transactions that have not begun yet: first offset and producer, latest first.
    ahead: Vec<(i64, i64)>,
    /// The producers whose transaction at this point is an aborted one.
    open: BTreeSet<i64>,
}

impl Transactions {
    fn new(isolation: Isolation, aborted: &[AbortedTransaction]) -> Self {
        let mut ahead: Vec<_> =
            aborted.iter().map(|transaction| (transaction.first_offset, transaction.producer_id)).collect();
        ahead.sort_unstable_by(|a, b| b.cmp(a));
        Self { isolation, ahead, open: BTreeSet::new() }
    }

    fn hides(&mut self, header: &BatchHeader, batch: &Bytes) -> Result<bool, BatchError> {
        while let Some((_, producer)) = self.ahead.pop_if(|(first_offset, _)| *first_offset <= header.last_offset()) {
            self.open.insert(producer);
        }
        if header.is_control() {
            let marker = records(batch, DECOMPRESSED_BATCH_BYTES_MAX)?.next().transpose()?;
            if marker.and_then(|marker| marker.control_type()) == Some(ControlType::Abort) {
                self.open.remove(&header.producer_id);
            }
            return Ok(true);
        }
        let aborted = header.is_transactional() && self.open.contains(&header.producer_id);
        Ok(aborted && self.isolation == Isolation::ReadCommitted)
    }
}

#[cfg(test)]
mod tests {
    use highwater_wire::records::{BatchBuilder, Compression};

    use super::*;

    fn record(value: &'static str) -> Record {
        Record { value: Some(Bytes::from_static(value.as_bytes())), ..Default::default() }
    }

    fn batch(base_offset: i64, values: &[&'static str]) -> BatchBuilder {
        let mut builder = BatchBuilder::new(Compression::None).base_offset(base_offset);
        values.iter().for_each(|value| builder.push(&record(value)));
        builder
    }

    fn transactional(base_offset: i64, producer: i64, value: &'static str) -> Bytes {
        batch(base_offset, &[value]).producer(producer, 0, 0).transactional().build()
    }

    fn marker(base_offset: i64, producer: i64, control: ControlType) -> Bytes {
        let mut builder = BatchBuilder::new(Compression::None)
            .base_offset(base_offset)
            .producer(producer, 0, -1)
            .transactional()
            .control();
        builder.push(&Record::marker(control, 0, 0));
        builder.build()
    }

    fn values(bytes: &[Bytes], from: i64, isolation: Isolation, aborted: &[(i64, i64)]) -> (Vec<String>, i64) {
        let aborted: Vec<_> = aborted
            .iter()
            .map(|(producer_id, first_offset)| AbortedTransaction {
                producer_id: *producer_id,
                first_offset: *first_offset,
            })
            .collect();
        let decoded = decode(bytes.concat().into(), Offset(from), isolation, &aborted).unwrap();
        let text = |record: &Record| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap();
        (decoded.records.iter().map(text).collect(), decoded.next_offset.0)
    }

    #[test]
    fn records_before_the_position_are_left_out_of_the_batch_that_holds_it() {
        let bytes = [batch(10, &["a", "b", "c"]).build()];
        assert_eq!(values(&bytes, 11, Isolation::ReadUncommitted, &[]), (vec!["b".to_owned(), "c".to_owned()], 13));
    }

    #[test]
    fn a_batch_that_is_cut_off_is_left_for_later() {
        let whole = batch(0, &["a"]).build();
        let cut = batch(1, &["b"]).build().slice(..40);
        assert_eq!(values(&[whole, cut], 0, Isolation::ReadUncommitted, &[]), (vec!["a".to_owned()], 1));
    }

    #[test]
    fn control_batches_are_passed_over_and_never_shown() {
        let bytes = [transactional(0, 7, "a"), marker(1, 7, ControlType::Commit)];
        assert_eq!(values(&bytes, 0, Isolation::ReadUncommitted, &[]), (vec!["a".to_owned()], 2));
    }

    #[test]
    fn an_aborted_transaction_is_hidden_from_its_first_record_to_its_marker() {
        let bytes = [
            transactional(0, 7, "aborted"),
            transactional(1, 8, "other producer"),
            marker(2, 7, ControlType::Abort),
            transactional(3, 7, "next transaction"),
        ];
        let seen = values(&bytes, 0, Isolation::ReadCommitted, &[(7, 0)]);
        assert_eq!(seen, (vec!["other producer".to_owned(), "next transaction".to_owned()], 4));
        let all = values(&bytes, 0, Isolation::ReadUncommitted, &[(7, 0)]);
        assert_eq!(all.0.len(), 3);
    }

    #[test]
    fn a_flipped_bit_is_an_error_that_names_the_offset() {
        let mut damaged = batch(1, &["b"]).build().to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        let bytes = [batch(0, &["a"]).build(), damaged.into()].concat();
        let error = decode(bytes.into(), Offset(0), Isolation::ReadUncommitted, &[]).unwrap_err();
        assert!(matches!(error, ConsumeError::Damaged { offset: Offset(1), .. }), "{error}");
    }
}
