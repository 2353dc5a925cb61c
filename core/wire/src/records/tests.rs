//! Batches as Kafka 4.3's own Java client makes them: what it writes we read, and what we write without compression is
//! the same bytes.

use bytes::Bytes;

use super::*;

const NONE: &str = "\
    00000000000000000000009cffffffff026b8e14480000000000020000018bcfe568000000018bcfe568050000000000001267000300\
    00001100000003720000000e6b6579206f6e654676616c75652076616c75652076616c75652076616c75652076616c75652076616c75\
    650404683102780468320152000a02014676616c75652076616c75652076616c75652076616c75652076616c75652076616c7565000c\
    000604000100";

const GZIP: &str = "\
    000000000000000000000073ffffffff02b6017d610001000000020000018bcfe568000000018bcfe568050000000000001267000300\
    000011000000031f8b08000000000000ff2b626060e0cb4ead54c8cf4b752b4bcc294d55c04bb2b064183255b0641831063170313112\
    a3858187818d8581910100dab206786b000000";

const SNAPPY: &str = "\
    000000000000000000000079ffffffff027ce5947d0002000000020000018bcfe568000000018bcfe568050000000000001267000300\
    0000110000000382534e41505059000000000100000001000000346b48720000000e6b6579206f6e654676616c756520720600380404\
    683102780468320152000a02018e33001c000c000604000100";

const LZ4: &str = "\
    000000000000000000000075ffffffff02d21de35d0003000000020000018bcfe568000000018bcfe568050000000000001267000300\
    0000110000000304224d1860408235000000ff04720000000e6b6579206f6e654676616c75652006000aff0004046831027804683201\
    52000a020133001180000c00060400010000000000";

const ZSTD: &str = "\
    000000000000000000000071ffffffff028f0642bf0004000000020000018bcfe568000000018bcfe568050000000000001267000300\
    0000110000000328b52ffd0058a40100a402720000000e6b6579206f6e654676616c7565200404683102780468320152000a0201000c\
    0006040001000200ad22ebdcc50e010000";

const MARKER: &str = "\
    0000000000000064000000420000000502a8da87310030000000000000018bcfe568000000018bcfe5680000000000000012670003ff\
    ffffff000000012000000008000000010c00000000000900";

fn bytes(hex: &str) -> Bytes {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn expected() -> Vec<Record> {
    let value = || Some(Bytes::from("value value value value value value"));
    vec![
        Record {
            offset: 0,
            timestamp: 1_700_000_000_000,
            key: Some("key one".into()),
            value: value(),
            headers: vec![("h1".to_owned(), Some("x".into())), ("h2".to_owned(), None)],
        },
        Record { offset: 1, timestamp: 1_700_000_000_005, key: None, value: value(), headers: vec![] },
        Record { offset: 2, timestamp: 1_700_000_000_003, key: Some("".into()), value: None, headers: vec![] },
    ]
}

#[test]
fn what_kafka_compresses_is_read() {
    for (codec, hex) in Compression::ALL.into_iter().zip([NONE, GZIP, SNAPPY, LZ4, ZSTD]) {
        let batch = bytes(hex);
        verify_crc(&batch).unwrap();
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.compression(), Ok(codec));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (4711, 3, 17));
        assert_eq!((header.last_sequence(), header.next_offset(), header.size_in_bytes()), (19, 3, batch.len()));
        assert_eq!(header.to_bytes(), batch[..BatchHeader::LEN]);
        let found: Vec<_> = records(&batch, 1 << 20).unwrap().map(Result::unwrap).collect();
        assert_eq!(found, expected(), "{codec:?}");
        let mut times = Vec::new();
        walk(&batch, 1 << 20, |record| times.push(record.timestamp - 1_700_000_000_000)).unwrap();
        assert_eq!(times, [0, 5, 3]);
    }
}

#[test]
fn what_we_build_is_what_kafka_builds() {
    let mut builder = BatchBuilder::new(Compression::None).producer(4711, 3, 17);
    expected().iter().for_each(|record| builder.push(record));
    assert_eq!(builder.build(), bytes(NONE));
    let marker = BatchBuilder::new(Compression::None).base_offset(100).leader_epoch(5).producer(4711, 3, -1);
    let mut marker = marker.transactional().control();
    marker.push(&Record::marker(ControlType::Commit, 9, 1_700_000_000_000));
    assert_eq!(marker.build(), bytes(MARKER));
}

#[test]
fn raw_snappy_without_frames_is_read_as_other_clients_send_it() {
    let plain = bytes(NONE);
    let body = snap::raw::Encoder::new().compress_vec(&plain[BatchHeader::LEN..]).unwrap();
    let mut header = BatchHeader::parse(&plain).unwrap();
    header.set_compression(Compression::Snappy);
    let mut batch = [&plain[..BatchHeader::LEN], &body].concat();
    compression::seal(&mut batch, header);
    let found: Vec<_> = records(&batch.into(), 1 << 20).unwrap().map(Result::unwrap).collect();
    assert_eq!(found, expected());
}

#[test]
fn a_batch_cut_at_any_byte_is_refused_without_a_panic() {
    for hex in [NONE, GZIP, SNAPPY, LZ4, ZSTD] {
        let batch = bytes(hex);
        for at in 0..batch.len() {
            let cut = batch.slice(..at);
            assert!(verify_crc(&cut).is_err());
            assert!(records(&cut, 1 << 20).is_err());
            assert!(walk(&cut, 1 << 20, |_| ()).is_err());
            assert!(Batches(cut).next().is_none(), "a partial batch is ignored");
        }
    }
}

#[test]
fn a_batch_damaged_at_any_byte_is_read_or_refused_but_never_panics() {
    for hex in [NONE, GZIP, SNAPPY, LZ4, ZSTD] {
        let batch = bytes(hex);
        for at in 0..batch.len() {
            for bit in 0..8 {
                let mut bad = batch.to_vec();
                bad[at] ^= 1 << bit;
                let bad = Bytes::from(bad);
                assert!(at < 12 || (12..16).contains(&at) || verify_crc(&bad).is_err(), "byte {at} is covered");
                let walked = walk(&bad, 1 << 16, |_| ());
                let taken = records(&bad, 1 << 16).map(|records| records.filter(Result::is_err).count());
                assert!(walked.is_err() || taken == Ok(0), "what can be walked can be taken: byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn what_decompresses_to_too_much_is_refused() {
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut builder = BatchBuilder::new(codec);
        builder.push(&Record { value: Some(vec![0; 1 << 20].into()), ..Record::default() });
        let bomb = builder.build();
        assert!(bomb.len() < 60_000, "{codec:?} makes {}", bomb.len());
        assert_eq!(records(&bomb, 1 << 19).unwrap_err(), BatchError::TooLarge(1 << 19));
        assert_eq!(walk(&bomb, 1 << 19, |_| ()).unwrap_err(), BatchError::TooLarge(1 << 19));
        assert_eq!(
            recompress(&bomb, Compression::None, None, 1 << 19, 1 << 30).unwrap_err(),
            BatchError::TooLarge(1 << 19)
        );
        assert_eq!(
            recompress(&bomb, Compression::None, None, 1 << 30, 1 << 19).unwrap_err(),
            BatchError::TooLarge(1 << 19)
        );
        assert_eq!(records(&bomb, 1 << 21).unwrap().count(), 1);
    }
}

#[test]
fn a_snappy_block_that_claims_gigabytes_is_refused_before_they_are_allocated() {
    let plain = bytes(NONE);
    let mut header = BatchHeader::parse(&plain).unwrap();
    header.set_compression(Compression::Snappy);
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let mut batch = [&plain[..BatchHeader::LEN], &claim].concat();
    compression::seal(&mut batch, header);
    let error = walk(&batch, u64::MAX, |_| ()).unwrap_err();
    assert_eq!(error, BatchError::Decompress("a snappy block is shorter than it claims".to_owned()));
}

#[test]
fn sequences_wrap_to_zero_after_the_largest() {
    let mut header = BatchHeader::parse(&bytes(NONE)).unwrap();
    for (base, delta, last) in
        [(17, 2, 19), (i32::MAX, 0, i32::MAX), (i32::MAX, 1, 0), (i32::MAX - 1, 5, 3), (-1, 3, -1)]
    {
        (header.base_sequence, header.last_offset_delta) = (base, delta);
        assert_eq!(header.last_sequence(), last);
    }
}
