//! Cutting a log back.

use super::*;

/// Batches of two records in five epochs, from two producers.
fn followed() -> (Log, MemoryDisk) {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), small()).unwrap();
    for at in 0..20 {
        let records = produced(1 + i64::from(at % 2), 0, at / 2 * 2, 2);
        log.append_as_leader(&mut disk, LeaderEpoch(at / 4), &records, now(2000)).unwrap();
    }
    (log, disk)
}

/// The same log as if it had never been longer.
fn never_longer(end: i64) -> Log {
    let (whole, source) = followed();
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), small()).unwrap();
    let read = whole.read(&source, Offset(0), Offset(end), u64::MAX, true).unwrap();
    let bytes = resolve(&read);
    if !bytes.is_empty() {
        log.append_as_follower(&mut disk, &bytes).unwrap();
    }
    log.check();
    log
}

#[test]
fn a_follower_holds_what_its_leader_has() {
    let (leader, disk) = followed();
    let mut copy_disk = MemoryDisk::new();
    let mut copy = Log::create(&mut copy_disk, dir(), small()).unwrap();
    while copy.end_offset() < leader.end_offset() {
        let read = leader.read(&disk, copy.end_offset(), leader.end_offset(), 500, true).unwrap();
        copy.append_as_follower(&mut copy_disk, &resolve(&read)).unwrap();
        copy.check();
    }
    assert_eq!(read_all(&copy, &copy_disk), read_all(&leader, &disk));
    assert_eq!((&copy.producers, &copy.epochs), (&leader.producers, &leader.epochs));
    let again = resolve(&leader.read(&disk, Offset(0), Offset(4), 500, true).unwrap());
    assert!(matches!(copy.append_as_follower(&mut copy_disk, &again), Err(AppendError::CorruptMessage(_))));
}

#[test]
fn a_cut_log_is_as_if_it_had_never_been_longer() {
    for offset in 0..=40 {
        for checkpointed in [false, true] {
            let (mut log, mut disk) = followed();
            if checkpointed {
                sync(&mut log, &disk);
                log.checkpoint(&mut disk, now(2000)).unwrap();
                assert!(log.may_truncate_to(Offset(40)) && !log.may_truncate_to(Offset(39)));
                log.prepare_truncation(&mut disk, Offset(offset)).unwrap();
                assert!(
                    offset == 40 || !log.may_truncate_to(Offset(offset)),
                    "the lower checkpoint is not durable yet"
                );
                let mut crashed = disk.clone();
                let (between, _) = reopen(&mut crashed, small(), Offset(offset));
                assert_eq!(read_all(&between, &crashed), read_all(&log, &disk), "a crash in between loses nothing");
            }
            sync(&mut log, &disk);
            log.truncate_to(&mut disk, Offset(offset)).unwrap();
            log.check();
            let end = offset / 2 * 2;
            let expected = never_longer(end);
            assert_eq!(log.end_offset(), Offset(end), "cut to {offset}");
            assert!(log.synced_offset() <= log.end_offset());
            assert_eq!((&log.producers, &log.epochs), (&expected.producers, &expected.epochs), "cut to {offset}");
            let mut crashed = disk.clone();
            let (again, _) = reopen(&mut crashed, small(), Offset(0));
            assert_eq!(read_all(&again, &crashed), read_all(&log, &disk));
            assert_eq!((&again.producers, &again.epochs), (&expected.producers, &expected.epochs), "cut to {offset}");
            append(&mut log, &mut disk, &batch(3, 1000));
            assert_eq!(log.end_offset(), Offset(end + 3));
        }
    }
}

#[test]
fn readers_keep_what_is_cut_under_them() {
    let (mut log, mut disk) = followed();
    let read = log.read(&disk, Offset(30), Offset(40), u64::MAX, true).unwrap();
    let before = resolve(&read);
    log.truncate_to(&mut disk, Offset(31)).unwrap();
    append(&mut log, &mut disk, &batch(5, 1000));
    assert_eq!(resolve(&read), before);
}

#[test]
fn a_sync_that_was_under_way_does_not_vouch_for_what_replaced_its_records() {
    let (mut log, mut disk) = followed();
    let dirty = log.dirty(&disk).unwrap();
    log.truncate_to(&mut disk, Offset(20)).unwrap();
    append(&mut log, &mut disk, &batch(15, 1000));
    log.mark_synced(dirty.upto);
    assert_eq!(log.synced_offset(), Offset(20));
}

#[test]
fn epochs_end_where_the_next_one_begins() {
    let (mut log, mut disk) = followed();
    let end = |log: &Log, epoch| log.end_offset_for_epoch(LeaderEpoch(epoch)).map(|(epoch, end)| (epoch.0, end.0));
    assert_eq!([0, 1, 4, 5].map(|epoch| end(&log, epoch)), [Some((0, 8)), Some((1, 16)), Some((4, 40)), None]);
    log.begin_epoch(LeaderEpoch(7)).unwrap();
    assert!(log.begin_epoch(LeaderEpoch(6)).is_err(), "a leader whose epoch is over begins no other");
    assert_eq!(
        [4, 5, 6, 7].map(|epoch| end(&log, epoch)),
        [Some((4, 40)), Some((4, 40)), Some((4, 40)), Some((7, 40))]
    );
    log.begin_epoch(LeaderEpoch(9)).unwrap();
    assert_eq!([7, 8].map(|epoch| end(&log, epoch)), [Some((4, 40)), Some((4, 40))], "epoch 7 had no records");
    log.delete_records_before(&mut disk, Offset(18)).unwrap();
    assert_eq!(
        [0, 1, 2, 3].map(|epoch| end(&log, epoch)),
        [Some((0, 18)), Some((1, 18)), Some((2, 24)), Some((3, 32))]
    );
    assert_eq!(
        [17, 18, 23, 24].map(|at| log.epoch_at(Offset(at)).map(|epoch| epoch.0)),
        [None, Some(2), Some(2), Some(3)]
    );
    log.check();
}
