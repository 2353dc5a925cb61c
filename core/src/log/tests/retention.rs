//! Which segments go, and when.

use super::*;

const DAY: i64 = 24 * 60 * 60 * 1000;

fn files(disk: &MemoryDisk) -> String {
    let names = disk.list(&dir()).unwrap().into_iter().map(|entry| entry.name);
    names.filter(|name| name.ends_with(".log")).map(|name| name.trim_start_matches('0').to_owned() + " ").collect()
}

/// Five segments of one batch of ten records each, the first at time 1000, the next 1000 ms later and so on.
fn five(config: LogConfig) -> (Log, MemoryDisk) {
    let mut disk = MemoryDisk::new();
    let size = u32::try_from(batch(10, 1000).len()).unwrap();
    let mut log = Log::create(&mut disk, dir(), LogConfig { segment_bytes: size, ..config }).unwrap();
    for at in 1..=5 {
        append(&mut log, &mut disk, &batch(10, at * 1000));
    }
    sync(&mut log, &disk);
    (log, disk)
}

fn retain(log: &mut Log, disk: &mut MemoryDisk, ms: i64, high_watermark: i64) -> Vec<i64> {
    let removed = log.apply_retention(disk, now(ms), Offset(high_watermark)).unwrap();
    log.check();
    removed.into_iter().map(|removed| removed.base_offset.0).collect()
}

#[test]
fn segments_go_when_their_newest_record_is_too_old() {
    let (mut log, mut disk) = five(LogConfig { retention_ms: Some(DAY), ..LogConfig::default() });
    assert_eq!(retain(&mut log, &mut disk, DAY + 1000, 50), []);
    assert_eq!(retain(&mut log, &mut disk, DAY + 2001, 50), [0, 10]);
    assert_eq!((log.start_offset(), log.end_offset()), (Offset(20), Offset(50)));
    assert!(matches!(log.read(&disk, Offset(19), Offset(50), 1, true), Err(ReadError::OutOfRange { .. })));
    assert_eq!(retain(&mut log, &mut disk, 2 * DAY, 50), [20, 30, 40], "the segment that is written to is closed");
    assert_eq!((log.start_offset(), log.size_bytes()), (Offset(50), 0));
    assert_eq!(append(&mut log, &mut disk, &batch(1, 1)).base_offset, Offset(50));
}

#[test]
fn segments_go_while_the_rest_is_large_enough() {
    let size = batch(10, 1000).len() as u64;
    for (keep, expected) in [(5 * size, 0), (4 * size + 1, 0), (4 * size, 1), (size, 4), (0, 5)] {
        let (mut log, mut disk) = five(LogConfig { retention_bytes: Some(keep), ..LogConfig::default() });
        assert_eq!(retain(&mut log, &mut disk, 6000, 50).len(), expected, "keeping {keep} of {}", 5 * size);
    }
}

#[test]
fn nothing_goes_past_the_high_watermark_or_without_the_policy() {
    let (mut log, mut disk) = five(LogConfig { retention_ms: Some(1), ..LogConfig::default() });
    assert_eq!(retain(&mut log, &mut disk, DAY, 29), [0, 10]);
    let (mut log, mut disk) =
        five(LogConfig { delete: false, retention_ms: Some(1), retention_bytes: Some(1), ..LogConfig::default() });
    assert_eq!(retain(&mut log, &mut disk, DAY, 50), []);
    log.delete_records_before(&mut disk, Offset(25)).unwrap();
    assert_eq!(retain(&mut log, &mut disk, DAY, 50), [0, 10], "deleted records go whatever the policy");
}

#[test]
fn files_go_only_when_the_new_start_is_durable() {
    let (mut log, mut disk) = five(LogConfig { retention_ms: Some(DAY), ..LogConfig::default() });
    assert_eq!(retain(&mut log, &mut disk, DAY + 2001, 50), [0, 10]);
    assert_eq!(files(&disk), ".log 10.log 20.log 30.log 40.log ");
    let dirty = log.dirty(&disk).unwrap();
    assert_eq!(retain(&mut log, &mut disk, DAY + 2001, 50), []);
    assert_eq!(files(&disk), ".log 10.log 20.log 30.log 40.log ");
    log.mark_synced(dirty.upto);
    assert_eq!(retain(&mut log, &mut disk, DAY + 2001, 50), []);
    assert_eq!(files(&disk), "20.log 30.log 40.log ");
}

#[test]
fn a_crash_at_any_step_of_a_removal_leaves_a_log_that_opens() {
    let (mut log, mut disk) = five(LogConfig { retention_ms: Some(DAY), ..LogConfig::default() });
    append(&mut log, &mut disk, &produced(1, 0, 0, 1));
    sync(&mut log, &disk);
    let full = disk.clone();
    retain(&mut log, &mut disk, DAY + 3001, 50);
    let moved = disk.clone();
    sync(&mut log, &disk);
    retain(&mut log, &mut disk, DAY + 3001, 50);
    assert_eq!(files(&disk), "30.log 40.log 50.log ");
    for start_survives in [false, true] {
        for removed in 0..8 {
            let mut crashed = if start_survives { moved.clone() } else { full.clone() };
            for at in (0..3).filter(|at| start_survives && removed & (1 << at) != 0) {
                crashed.remove(&names::log(&dir(), Offset(at * 10), names::Generation::ORIGINAL)).unwrap();
            }
            let config = log.config().clone();
            let (mut again, _) = reopen(&mut crashed, config, Offset(51));
            assert_eq!(again.start_offset(), Offset(if start_survives { 30 } else { 0 }));
            assert_eq!(again.end_offset(), Offset(51));
            assert_eq!(again.producers, log.producers, "what producers did outlives their records");
            retain(&mut again, &mut crashed, DAY + 3001, 50);
            sync(&mut again, &crashed);
            retain(&mut again, &mut crashed, DAY + 3001, 50);
            assert_eq!(files(&crashed), "30.log 40.log 50.log ");
            assert_eq!(read_all(&again, &crashed), read_all(&log, &disk));
        }
    }
}

#[test]
fn deleted_records_are_gone_at_once_and_for_good() {
    let (mut log, mut disk) = five(LogConfig::default());
    assert!(matches!(
        log.delete_records_before(&mut disk, Offset(51)),
        Err(DeleteRecordsError::OutOfRange { end: Offset(50) })
    ));
    log.delete_records_before(&mut disk, Offset(25)).unwrap();
    log.delete_records_before(&mut disk, Offset(5)).unwrap();
    log.check();
    assert_eq!(log.start_offset(), Offset(25), "a start never goes back");
    assert!(matches!(log.read(&disk, Offset(24), Offset(50), 1, true), Err(ReadError::OutOfRange { .. })));
    let first = headers(resolve(&log.read(&disk, Offset(25), Offset(50), 1, true).unwrap()))[0];
    assert_eq!(first.base_offset, 20, "the batch that holds the start is returned whole");
    let (log, _) = reopen(&mut disk, LogConfig::default(), Offset(50));
    assert_eq!(log.start_offset(), Offset(25));
}

#[test]
fn all_records_can_be_deleted() {
    let (mut log, mut disk) = five(LogConfig::default());
    log.delete_records_before(&mut disk, Offset(50)).unwrap();
    assert_eq!(retain(&mut log, &mut disk, 6000, 50), [0, 10, 20, 30, 40]);
    sync(&mut log, &disk);
    retain(&mut log, &mut disk, 6000, 50);
    assert_eq!(files(&disk), "50.log ");
    let (log, _) = reopen(&mut disk, LogConfig::default(), Offset(50));
    assert_eq!((log.start_offset(), log.end_offset()), (Offset(50), Offset(50)));
}

#[test]
fn a_segment_is_closed_when_its_records_span_too_much_time() {
    let mut disk = MemoryDisk::new();
    let config = LogConfig { segment_ms: 1000, timestamp_after_max_ms: DAY, ..LogConfig::default() };
    let mut log = Log::create(&mut disk, dir(), config).unwrap();
    assert_eq!(append(&mut log, &mut disk, &batch(1, 5000)).rolled, None);
    assert_eq!(append(&mut log, &mut disk, &batch(1, 6000)).rolled, None);
    assert_eq!(append(&mut log, &mut disk, &batch(1, 6001)).rolled, Some(Offset(2)));
    assert_eq!(append(&mut log, &mut disk, &batch(1, 2)).rolled, None);
}
