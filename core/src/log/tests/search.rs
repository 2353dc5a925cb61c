//! Finding records by their timestamps.

use proptest::prelude::*;

use super::*;

fn find(answer: TimestampAnswer) -> Option<(i64, i64)> {
    match answer {
        TimestampAnswer::NotFound => None,
        TimestampAnswer::Search(search) => search.run().unwrap().map(|found| (found.timestamp, found.offset.0)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_first_record_at_or_after_a_time_is_found_whatever_the_order_of_times(
        batches in proptest::collection::vec(proptest::collection::vec(-1..500_i64, 1..5), 1..40),
        codec in proptest::sample::select(&Compression::ALL[..]),
        start in 0..20_i64,
        reopened in any::<bool>(),
    ) {
        let mut disk = MemoryDisk::new();
        let mut log = Log::create(&mut disk, dir(), small()).unwrap();
        for times in &batches {
            let mut builder = BatchBuilder::new(codec);
            times.iter().for_each(|time| builder.push(&record(*time, "v")));
            append(&mut log, &mut disk, &builder.build());
        }
        let start = Offset(start).min(log.end_offset());
        log.delete_records_before(&mut disk, start).unwrap();
        if reopened {
            sync(&mut log, &disk);
            log.checkpoint(&mut disk, now(2000)).unwrap();
            log = reopen(&mut disk, small(), Offset(0)).0;
        }
        let times: Vec<(i64, i64)> = batches.concat().into_iter().zip(0..).skip(start.0 as usize).collect();
        for time in 0..502 {
            let expected = times.iter().find(|(at, _)| *at >= time).copied();
            prop_assert_eq!(find(log.find_timestamp(&disk, time).unwrap()), expected, "at {}", time);
        }
    }
}

#[test]
fn the_largest_timestamp_is_that_of_its_first_record() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), small()).unwrap();
    assert_eq!(find(log.max_timestamp(&disk).unwrap()), None);
    for time in [10, 500, 20, 500, 30, 40, 50, 60, 70] {
        append(&mut log, &mut disk, &batch(2, time));
    }
    assert!(log.segment_count() > 1);
    assert_eq!(find(log.max_timestamp(&disk).unwrap()), Some((500, 2)));
}

#[test]
fn a_search_outlives_the_segment_it_looks_into() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), LogConfig::default()).unwrap();
    append(&mut log, &mut disk, &batch(2, 1000));
    let answer = log.find_timestamp(&disk, 1000).unwrap();
    log.truncate_to(&mut disk, Offset(0)).unwrap();
    assert_eq!(find(answer), Some((1000, 0)));
}
