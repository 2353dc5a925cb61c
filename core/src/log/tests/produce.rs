//! What a leader accepts, what it makes of it, and what it answers otherwise.

use highwater_wire::records::{ControlType, TimestampType, recompress, verify_crc};

use super::*;

/// Writes a field of a batch and makes its checksum right again.
fn with_field(batch: &Bytes, at: usize, bytes: &[u8]) -> Bytes {
    let mut batch = batch.to_vec();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = highwater_wire::records::crc32c(&[&batch[BatchHeader::CHECKSUMMED_FROM..]]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

fn refused(config: LogConfig, records: &Bytes) -> String {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), config).unwrap();
    let error = log.append_as_leader(&mut disk, EPOCH, records, now(10_000_000)).unwrap_err();
    log.check();
    assert_eq!((log.end_offset(), log.size_bytes()), (Offset(0), 0), "a refused batch leaves no trace");
    let code = match &error {
        AppendError::CorruptMessage(_) => "CORRUPT_MESSAGE",
        AppendError::NotOneBatch(_) | AppendError::InvalidRecord(_) => "INVALID_RECORD",
        AppendError::InvalidTimestamp(_) => "INVALID_TIMESTAMP",
        AppendError::MessageTooLarge(_) => "MESSAGE_TOO_LARGE",
        AppendError::RecordListTooLarge(_) => "RECORD_LIST_TOO_LARGE",
        AppendError::UnsupportedCompressionType(_) => "UNSUPPORTED_COMPRESSION_TYPE",
        AppendError::InvalidProducerEpoch(_) => "INVALID_PRODUCER_EPOCH",
        AppendError::OutOfOrderSequence(_) => "OUT_OF_ORDER_SEQUENCE_NUMBER",
        AppendError::InvalidTxnState(_) => "INVALID_TXN_STATE",
        AppendError::Full => "full",
        AppendError::Io(_) => "io",
    };
    format!("{code}: {error}")
}

#[test]
fn batches_that_break_a_rule_are_refused_with_kafkas_error() {
    let good = batch(3, 10_000_000);
    let compressed = |codec| {
        let bytes = recompress(&good, codec, None, 1 << 20, 1 << 20).unwrap();
        Bytes::from(bytes)
    };
    let gzip = compressed(Compression::Gzip);
    let cases: &[(&str, Bytes)] = &[
        ("INVALID_RECORD: a produce request must have one whole record batch per partition", Bytes::new()),
        (
            "INVALID_RECORD: a produce request must have one whole record batch per partition",
            good.slice(..good.len() - 1),
        ),
        (
            "INVALID_RECORD: a produce request must have exactly one record batch per partition",
            [good.clone(), good.clone()].concat().into(),
        ),
        ("INVALID_RECORD: record format version 1 is not supported, only version 2 is", with_field(&good, 16, &[1])),
        ("CORRUPT_MESSAGE: record format version 3 is not supported, only version 2 is", with_field(&good, 16, &[3])),
        ("CORRUPT_MESSAGE: 3 is not the length of a batch", with_field(&good, 8, &3_i32.to_be_bytes())),
        ("CORRUPT_MESSAGE: -1 is not the length of a batch", with_field(&good, 8, &(-1_i32).to_be_bytes())),
        ("INVALID_RECORD: the batch's base offset is 5, it must be 0", with_field(&good, 0, &5_i64.to_be_bytes())),
        (
            "INVALID_RECORD: the batch claims 0 records and a last offset delta of 2",
            with_field(&good, 57, &0_i32.to_be_bytes()),
        ),
        (
            "INVALID_RECORD: the batch claims 2147483647 records and a last offset delta of 2",
            with_field(&good, 57, &i32::MAX.to_be_bytes()),
        ),
        (
            "INVALID_RECORD: record 3 of the batch is invalid: the batch ends inside it",
            with_field(&with_field(&good, 57, &4_i32.to_be_bytes()), 23, &3_i32.to_be_bytes()),
        ),
        (
            "INVALID_RECORD: record 2 of the batch is invalid: bytes follow the last record",
            with_field(&with_field(&good, 57, &2_i32.to_be_bytes()), 23, &1_i32.to_be_bytes()),
        ),
        (
            "INVALID_RECORD: record 2 of the batch is invalid: bytes follow the last record",
            with_field(&with_field(&gzip, 57, &2_i32.to_be_bytes()), 23, &1_i32.to_be_bytes()),
        ),
        ("INVALID_RECORD: clients may not write control records", with_field(&good, 21, &0x20_i16.to_be_bytes())),
        (
            "INVALID_TXN_STATE: the partition is in no transaction of the producer's",
            with_field(&good, 21, &0x10_i16.to_be_bytes()),
        ),
        (
            "INVALID_RECORD: the batch has producer id 7 and the sequence number -1",
            with_field(&good, 43, &7_i64.to_be_bytes()),
        ),
        ("UNSUPPORTED_COMPRESSION_TYPE: unknown compression type 5", with_field(&good, 21, &5_i16.to_be_bytes())),
        (
            "INVALID_TIMESTAMP: 3 records are rejected, the first, number 0: its timestamp type is LogAppendTime, which a \
             producer cannot set",
            with_field(&good, 21, &8_i16.to_be_bytes()),
        ),
        (
            "INVALID_TIMESTAMP: 1 records are rejected, the first, number 0: its timestamp 90000000 is not between \
             -9223372036844775807 and 13600000",
            batch(1, 90_000_000),
        ),
    ];
    for (expected, records) in cases {
        assert_eq!(refused(LogConfig::default(), records), *expected);
    }
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut bytes = compressed(codec).to_vec();
        let body = bytes.len() - BatchHeader::LEN;
        bytes[BatchHeader::LEN..].copy_from_slice(&vec![0xab; body]);
        let message = refused(LogConfig::default(), &with_field(&bytes.into(), 16, &[2]));
        assert!(message.starts_with("INVALID_RECORD: cannot decompress the records: "), "{message}");
    }
}

#[test]
fn a_flipped_bit_in_a_produced_batch_is_never_accepted() {
    let good = produced(5, 0, 0, 2);
    for at in 0..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 0x20;
        // The leader's epoch is not the producer's to set, and is overwritten.
        if !(12..16).contains(&at) {
            let message = refused(LogConfig::default(), &bad.into());
            assert!(message.starts_with("CORRUPT_MESSAGE") || at < 12 || at == 16, "at {at}: {message}");
        }
    }
}

#[test]
fn topics_limit_size_keys_and_age() {
    let records = batch(10, 5_000_000);
    let size = u32::try_from(records.len()).unwrap();
    let config = LogConfig::default;
    assert_eq!(
        refused(LogConfig { max_message_bytes: size - 1, ..config() }, &records),
        format!("MESSAGE_TOO_LARGE: the batch has {size} bytes, the topic accepts {}", size - 1)
    );
    assert_eq!(
        refused(LogConfig { segment_bytes: size - 1, ..config() }, &records),
        format!("RECORD_LIST_TOO_LARGE: the batch has {size} bytes, a segment holds {}", size - 1)
    );
    assert_eq!(
        refused(LogConfig { timestamp_before_max_ms: 1000, ..config() }, &records),
        "INVALID_TIMESTAMP: 10 records are rejected, the first, number 0: its timestamp 5000000 is not between 9999000 \
         and 13600000"
    );
    let mut keyless = BatchBuilder::new(Compression::Zstd);
    keyless.push(&record(1, "one"));
    for _ in 0..1000 {
        keyless.push(&Record { timestamp: 1, value: Some("none".into()), ..Record::default() });
    }
    let keyless = keyless.build();
    assert_eq!(
        refused(LogConfig { compact: true, ..config() }, &keyless),
        "INVALID_RECORD: 1000 records are rejected, the first, number 1: a compacted topic cannot accept a record \
         without a key"
    );
}

#[test]
fn a_compressed_bomb_is_refused_in_bounded_memory() {
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.push(&Record { value: Some(vec![0; 300 * 1024 * 1024].into()), ..Record::default() });
    let bomb = builder.build();
    assert!(bomb.len() < 100_000);
    let message = refused(LogConfig::default(), &bomb);
    assert_eq!(message, "MESSAGE_TOO_LARGE: the records decompress to more than 268435456 bytes");
}

#[test]
fn only_the_first_sixteen_bytes_of_a_good_batch_change() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), LogConfig::default()).unwrap();
    append(&mut log, &mut disk, &batch(2, 1000));
    let sent = batch(3, 1500);
    log.append_as_leader(&mut disk, LeaderEpoch(9), &sent, now(2000)).unwrap();
    let stored = resolve(&log.read(&disk, Offset(2), Offset(5), 1 << 20, true).unwrap());
    assert_eq!(stored[..8], 2_i64.to_be_bytes());
    assert_eq!(stored[8..12], sent[8..12]);
    assert_eq!(stored[12..16], 9_i32.to_be_bytes());
    assert_eq!(stored[16..], sent[16..]);
}

#[test]
fn a_batch_that_lies_about_its_largest_timestamp_is_corrected() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), LogConfig::default()).unwrap();
    append(&mut log, &mut disk, &with_field(&batch(3, 1500), 35, &7_i64.to_be_bytes()));
    let stored = read_all(&log, &disk);
    verify_crc(&stored).unwrap();
    assert_eq!(headers(stored)[0].max_timestamp, 1500);
}

#[test]
fn log_append_time_is_the_brokers() {
    let mut disk = MemoryDisk::new();
    let config = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() };
    let mut log = Log::create(&mut disk, dir(), config).unwrap();
    let appended = log.append_as_leader(&mut disk, EPOCH, &batch(3, 90_000_000), now(4242)).unwrap();
    assert_eq!(appended.log_append_time, Some(4242));
    let stored = read_all(&log, &disk);
    verify_crc(&stored).unwrap();
    assert_eq!(headers(stored.clone())[0].timestamp_type(), TimestampType::LogAppendTime);
    let times: Vec<_> = records(&stored, 1 << 20).unwrap().map(|record| record.unwrap().timestamp).collect();
    assert_eq!(times, [4242, 4242, 4242]);
}

#[test]
fn batches_are_stored_with_the_topics_codec() {
    for from in Compression::ALL {
        for to in Compression::ALL {
            let mut builder = BatchBuilder::new(from).producer(3, 0, 0);
            let expected: Vec<_> = (0..100).map(|at| Record { offset: at, ..record(1000, "the same value") }).collect();
            expected.iter().for_each(|record| builder.push(record));
            let sent = builder.build();
            let mut disk = MemoryDisk::new();
            let compression = CompressionPolicy::Fixed { codec: to, level: None };
            let mut log = Log::create(&mut disk, dir(), LogConfig { compression, ..LogConfig::default() }).unwrap();
            append(&mut log, &mut disk, &sent);
            let stored = read_all(&log, &disk);
            verify_crc(&stored).unwrap();
            assert_eq!(headers(stored.clone())[0].compression(), Ok(to));
            let found: Vec<_> = records(&stored, 1 << 20).unwrap().map(Result::unwrap).collect();
            assert_eq!(found, expected, "{from:?} stored as {to:?}");
            assert_eq!(stored.len() == sent.len(), from == to);
            assert!(append(&mut log, &mut disk, &sent).duplicate);
        }
    }
}

#[test]
fn recompression_that_exceeds_the_limit_is_refused() {
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.push(&Record { value: Some(vec![7; 2_000_000].into()), ..Record::default() });
    let compression = CompressionPolicy::Fixed { codec: Compression::None, level: None };
    let message = refused(LogConfig { compression, ..LogConfig::default() }, &builder.build());
    assert_eq!(message, "MESSAGE_TOO_LARGE: as none: the records decompress to more than 1048588 bytes");
}

#[test]
fn idempotent_producers_are_held_to_their_sequence() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), LogConfig::default()).unwrap();
    let mut script = String::new();
    let steps = [
        (1, 0, 5, 1, "an unknown producer may start anywhere"),
        (1, 0, 6, 2, "the next"),
        (1, 0, 6, 2, "the same again"),
        (1, 0, 6, 1, "half of it again"),
        (1, 0, 9, 1, "a gap"),
        (1, 0, 8, 1, "the next"),
        (1, 0, 9, 1, "the next"),
        (1, 0, 10, 1, "the next"),
        (1, 0, 11, 1, "the sixth"),
        (1, 0, 6, 2, "the fifth last again"),
        (1, 0, 5, 1, "the sixth last again"),
        (1, 1, 12, 1, "a new epoch that does not start at 0"),
        (1, 1, 0, 1, "a new epoch"),
        (1, 0, 12, 1, "the old epoch"),
        (1, 0, 11, 1, "the old epoch's last again"),
        (2, 3, i32::MAX - 1, 2, "up to the largest sequence"),
        (2, 3, 0, 1, "around to 0"),
        (3, 0, i32::MAX, 3, "across it"),
        (3, 0, 2, 1, "the next"),
        (3, 0, i32::MAX, 3, "across it again"),
    ];
    for (id, epoch, sequence, count, what) in steps {
        let answer = match log.append_as_leader(&mut disk, EPOCH, &produced(id, epoch, sequence, count), now(2000)) {
            Ok(appended) if appended.duplicate => format!("duplicate of {}", appended.base_offset),
            Ok(appended) => format!("appended at {}", appended.base_offset),
            Err(error) => error.to_string(),
        };
        log.check();
        script.push_str(&format!("{id}/{epoch} {sequence}+{count}, {what}: {answer}\n"));
    }
    let expected = "\
1/0 5+1, an unknown producer may start anywhere: appended at 0
1/0 6+2, the next: appended at 1
1/0 6+2, the same again: duplicate of 1
1/0 6+1, half of it again: producer 1 in epoch 0 must go on with sequence number 8, the batch has 6
1/0 9+1, a gap: producer 1 in epoch 0 must go on with sequence number 8, the batch has 9
1/0 8+1, the next: appended at 3
1/0 9+1, the next: appended at 4
1/0 10+1, the next: appended at 5
1/0 11+1, the sixth: appended at 6
1/0 6+2, the fifth last again: duplicate of 1
1/0 5+1, the sixth last again: producer 1 in epoch 0 must go on with sequence number 12, the batch has 5
1/1 12+1, a new epoch that does not start at 0: producer 1 in epoch 1 must go on with sequence number 0, the batch has 12
1/1 0+1, a new epoch: appended at 7
1/0 12+1, the old epoch: producer 1 has epoch 1, the batch has the older epoch 0
1/0 11+1, the old epoch's last again: producer 1 has epoch 1, the batch has the older epoch 0
2/3 2147483646+2, up to the largest sequence: appended at 8
2/3 0+1, around to 0: appended at 10
3/0 2147483647+3, across it: appended at 11
3/0 2+1, the next: appended at 14
3/0 2147483647+3, across it again: duplicate of 11
";
    assert_eq!(script, expected);
    let (again, _) = reopen(&mut disk, LogConfig::default(), Offset(0));
    assert_eq!(again.producers, log.producers, "the state follows from the batches alone");
}

#[test]
fn silent_producers_are_forgotten() {
    let mut disk = MemoryDisk::new();
    let config = LogConfig { producer_id_expiration_ms: 5000, ..LogConfig::default() };
    let mut log = Log::create(&mut disk, dir(), config).unwrap();
    append(&mut log, &mut disk, &produced(1, 0, 0, 1));
    log.checkpoint(&mut disk, now(5999)).unwrap();
    assert!(append(&mut log, &mut disk, &produced(1, 0, 0, 1)).duplicate);
    log.checkpoint(&mut disk, now(6000)).unwrap();
    assert!(!append(&mut log, &mut disk, &produced(1, 0, 7, 1)).duplicate);
}

#[test]
fn a_full_disk_refuses_appends_and_recovers() {
    for capacity in 0..2500 {
        let mut disk = MemoryDisk::new();
        let mut log = Log::create(&mut disk, dir(), small()).unwrap();
        disk.set_capacity(capacity);
        let mut accepted = 0;
        let mut try_append = |log: &mut Log, disk: &mut MemoryDisk| {
            let before = log.end_offset();
            match log.append_as_leader(disk, EPOCH, &produced(1, 0, accepted, 1), now(2000)) {
                Ok(_) => accepted += 1,
                Err(AppendError::Full) => assert_eq!(log.end_offset(), before),
                Err(error) => panic!("{error}"),
            }
            log.check();
        };
        for _ in 0..15 {
            try_append(&mut log, &mut disk);
            log.checkpoint(&mut disk, now(2000)).unwrap();
            sync(&mut log, &disk);
            log.apply_retention(&mut disk, now(2000), log.end_offset()).unwrap();
        }
        let all = read_all(&log, &disk);
        assert_eq!(headers(all).len() as i64, log.end_offset().0, "reads go on");
        disk.set_capacity(u64::MAX);
        let before = log.end_offset();
        try_append(&mut log, &mut disk);
        assert_eq!(log.end_offset().0, before.0 + 1, "with {capacity} bytes and then more");
        let (again, _) = reopen(&mut disk, small(), before);
        assert_eq!(read_all(&again, &disk), read_all(&log, &disk));
        assert_eq!(again.producers, log.producers);
    }
}

#[test]
fn markers_of_the_broker_are_appended_and_end_a_transaction() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), LogConfig::default()).unwrap();
    let mut data = BatchBuilder::new(Compression::None).producer(4, 0, 0).transactional();
    data.push(&record(1000, "in a transaction"));
    log.append_internal(&mut disk, EPOCH, &data.build(), now(2000)).unwrap();
    let mut marker = BatchBuilder::new(Compression::None).producer(4, 0, -1).transactional().control();
    marker.push(&Record::marker(ControlType::Commit, 3, 1000));
    let appended = log.append_internal(&mut disk, EPOCH, &marker.build(), now(2000)).unwrap();
    assert_eq!(appended.last_offset, Offset(1));
    log.check();
    let (_, last) = Batches(read_all(&log, &disk)).last().unwrap().unwrap();
    let control = records(&last, 1 << 20).unwrap().next().unwrap().unwrap();
    assert_eq!(control.control_type(), Some(ControlType::Commit));
}
