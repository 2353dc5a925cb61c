//! What a crash, a lost file or a flipped bit does to a log.

use proptest::prelude::*;

use super::super::names::{Generation, Kind};
use super::*;

/// Batches of 1 to 3 records, half of them synced and checkpointed.
struct Written {
    disk: MemoryDisk,
    batches: Vec<BatchHeader>,
    all: Bytes,
    synced: Offset,
}

fn written(config: &LogConfig, checkpoint: bool) -> Written {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), config.clone()).unwrap();
    for at in 0..6 {
        append(&mut log, &mut disk, &batch(1 + at % 3, 1000));
    }
    sync(&mut log, &disk);
    if checkpoint {
        log.checkpoint(&mut disk, now(2000)).unwrap();
    }
    let synced = log.synced_offset();
    for at in 0..6 {
        append(&mut log, &mut disk, &batch(1 + at % 3, 1000));
    }
    let all = read_all(&log, &disk);
    Written { disk, batches: headers(all.clone()), all, synced }
}

/// The end that is left when the log is cut at byte `at` of all its bytes.
fn end_at(batches: &[BatchHeader], at: usize) -> Offset {
    let mut left = at;
    let whole = batches.iter().take_while(|header| {
        let fits = header.size_in_bytes() <= left;
        left = left.saturating_sub(header.size_in_bytes());
        fits
    });
    Offset(whole.last().map_or(0, BatchHeader::next_offset))
}

fn open(disk: &mut MemoryDisk, recovery_point: Offset) -> Result<(Log, Recovery), OpenLogError> {
    Log::open(disk, dir(), LogConfig::default(), recovery_point, now(3000)).inspect(|(log, _)| log.check())
}

fn segment(base: i64) -> LogPath {
    names::log(&dir(), Offset(base), Generation::ORIGINAL)
}

#[test]
fn a_log_cut_at_any_byte_keeps_its_whole_batches_or_is_damaged_below_the_recovery_point() {
    for checkpoint in [false, true] {
        let written = written(&LogConfig::default(), checkpoint);
        for at in 0..=written.all.len() {
            let mut disk = written.disk.clone();
            disk.bytes_mut(&segment(0)).unwrap().truncate(at);
            let end = end_at(&written.batches, at);
            match open(&mut disk, written.synced) {
                Ok((log, recovery)) => {
                    assert!(end >= written.synced, "cut at {at}");
                    assert_eq!(log.end_offset(), end);
                    assert_eq!(log.synced_offset(), written.synced);
                    assert_eq!(read_all(&log, &disk), written.all[..usize::try_from(log.size_bytes()).unwrap()]);
                    assert_eq!(recovery.bytes_truncated, at as u64 - log.size_bytes());
                }
                Err(OpenLogError::Damaged { file, position, offset, .. }) => {
                    assert!(end < written.synced, "cut at {at}");
                    assert_eq!(file, segment(0));
                    // A file shorter than its checkpoint is not read: only that it is short is known.
                    assert!(checkpoint || offset == end && position <= at as u64);
                }
                Err(error) => panic!("cut at {at}: {error}"),
            }
        }
    }
}

#[test]
fn a_bit_flipped_anywhere_is_found_and_cuts_only_above_the_recovery_point() {
    let written = written(&LogConfig::default(), false);
    for at in 0..written.all.len() {
        // Base offset and epoch lie outside the checksum. One that rose leaves a gap, as compaction does, or makes the
        // batches that follow look like an old leader's.
        let in_batch = at - written.all[..at].len().min(batch_start(&written.batches, at));
        let mut disk = written.disk.clone();
        disk.bytes_mut(&segment(0)).unwrap()[at] ^= 0x40;
        let end = end_at(&written.batches, at);
        match open(&mut disk, written.synced) {
            Ok((log, _)) if in_batch < 8 || (12..16).contains(&in_batch) => {
                assert!(log.end_offset() >= written.synced.max(end), "flipped at {at}");
            }
            Ok((log, _)) => {
                assert!(end >= written.synced, "flipped at {at}");
                assert_eq!(log.end_offset(), end, "flipped at {at}");
            }
            Err(OpenLogError::Damaged { offset, .. }) => {
                assert!(end < written.synced, "flipped at {at}");
                assert!(offset == end || (12..16).contains(&in_batch) && offset > end, "flipped at {at}");
            }
            Err(error) => panic!("flipped at {at}: {error}"),
        }
    }
}

fn batch_start(batches: &[BatchHeader], at: usize) -> usize {
    let mut start = 0;
    for header in batches {
        if start + header.size_in_bytes() > at {
            break;
        }
        start += header.size_in_bytes();
    }
    start
}

#[test]
fn zeros_and_garbage_behind_the_last_batch_are_cut_off() {
    let written = written(&LogConfig::default(), true);
    for tail in [vec![0; 10_000], vec![0xff; 100], vec![2; 61], written.all[..200].to_vec()] {
        let mut disk = written.disk.clone();
        disk.bytes_mut(&segment(0)).unwrap().extend_from_slice(&tail);
        let (log, recovery) = open(&mut disk, written.synced).unwrap();
        assert_eq!(read_all(&log, &disk), written.all);
        assert_eq!(recovery.bytes_truncated, tail.len() as u64);
        assert_eq!(disk.bytes(&segment(0)).unwrap(), &written.all[..]);
    }
}

#[test]
fn nothing_that_was_recovered_counts_as_synced_until_it_is() {
    let written = written(&LogConfig::default(), false);
    let mut disk = written.disk;
    let (mut log, _) = open(&mut disk, Offset(3)).unwrap();
    assert_eq!(log.synced_offset(), Offset(3));
    assert!(log.end_offset() > Offset(3));
    let dirty = log.dirty(&disk).unwrap();
    assert_eq!(dirty.upto, log.end_offset());
    assert_eq!(dirty.files.len(), 1);
    assert_eq!(dirty.directories, [dir(), LogPath::root()]);
    log.mark_synced(dirty.upto);
    assert_eq!(log.synced_offset(), log.end_offset());
    let end = log.end_offset();
    let (mut log, _) = open(&mut disk, end).unwrap();
    assert!(log.dirty(&disk).is_none(), "what is durable needs no sync");
}

/// The simulated disk found this: a torn end was cut off exactly at the recovery point, nobody synced that, the next batch
/// opened a new segment, and power loss brought the torn end back in front of records that were synced by then.
#[test]
fn a_cut_at_the_recovery_point_is_in_the_first_sync() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), LogConfig::default()).unwrap();
    append(&mut log, &mut disk, &batch(2, 1000));
    disk.bytes_mut(&segment(0)).unwrap().extend_from_slice(&[2; 61]);
    let (mut log, recovery) = open(&mut disk, Offset(2)).unwrap();
    assert_eq!(recovery.bytes_truncated, 61);
    assert_eq!(log.dirty(&disk).unwrap().files.len(), 1);
}

#[test]
fn every_recovered_segment_beyond_the_recovery_point_is_in_the_first_sync() {
    let mut disk = written(&small(), false).disk;
    let (mut log, recovery) = reopen(&mut disk, small(), Offset(5));
    assert!(log.segment_count() > 1);
    assert_eq!(recovery.files_rebuilt, 0, "indexes beyond the checkpoint are expected to be made again");
    let dirty = log.dirty(&disk).unwrap();
    let beyond = log.segments.values().filter(|segment| segment.next > Offset(5)).count();
    assert!(dirty.files.len() >= beyond, "{} files for {beyond} segments", dirty.files.len());
}

#[test]
fn a_checkpoint_waits_until_what_it_covers_is_synced() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), small()).unwrap();
    append(&mut log, &mut disk, &batch(3, 1000));
    let dirty = log.dirty(&disk).unwrap();
    append(&mut log, &mut disk, &batch(3, 1000));
    log.checkpoint(&mut disk, now(2000)).unwrap();
    assert_eq!(disk.bytes(&dir().join(names::CHECKPOINT)), None);
    log.mark_synced(dirty.upto);
    log.checkpoint(&mut disk, now(2000)).unwrap();
    assert_eq!(disk.bytes(&dir().join(names::CHECKPOINT)), None, "it covers six records, three are synced");
    sync(&mut log, &disk);
    log.checkpoint(&mut disk, now(2000)).unwrap();
    let (log, recovery) = reopen(&mut disk, small(), Offset(0));
    assert_eq!((log.synced_offset(), recovery.bytes_read), (Offset(6), 0));
}

/// The simulated disk found this: a batch opened a new segment and then found no room. All records were durable, the
/// segment's file was not, and a checkpoint that named it survived a loss of power that the file did not.
#[test]
fn a_checkpoint_waits_until_an_empty_segment_is_synced() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), small()).unwrap();
    append(&mut log, &mut disk, &batch(3, 1000));
    sync(&mut log, &disk);
    log.roll(&mut disk).unwrap();
    log.checkpoint(&mut disk, now(2000)).unwrap();
    assert_eq!(disk.bytes(&dir().join(names::CHECKPOINT)), None);
    sync(&mut log, &disk);
    log.checkpoint(&mut disk, now(2000)).unwrap();
    assert_eq!(reopen(&mut disk, small(), Offset(0)).0.segment_count(), 2);
}

#[test]
fn a_missing_or_damaged_index_is_made_again() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), small()).unwrap();
    for _ in 0..30 {
        append(&mut log, &mut disk, &batch(2, 1000));
    }
    sync(&mut log, &disk);
    log.checkpoint(&mut disk, now(2000)).unwrap();
    let all = read_all(&log, &disk);
    let indexes: Vec<_> = log.segments.keys().map(|base| names::index(&dir(), *base, Generation::ORIGINAL)).collect();
    for index in &indexes {
        let mut disk = disk.clone();
        disk.remove(index).unwrap();
        let (log, recovery) = reopen(&mut disk, small(), Offset(60));
        assert_eq!(recovery.files_rebuilt, 1, "without {index}");
        assert_eq!(read_all(&log, &disk), all);
    }
    for index in &indexes {
        let len = disk.bytes(index).unwrap().len();
        for at in 0..len {
            let mut disk = disk.clone();
            disk.bytes_mut(index).unwrap()[at] ^= 1;
            let (log, _) = reopen(&mut disk, small(), Offset(60));
            for from in 0..60 {
                let read = log.read(&disk, Offset(from), Offset(60), 1, true).unwrap();
                let found = headers(resolve(&read));
                assert_eq!(found.len(), 1);
                assert!(found[0].base_offset <= from && from < found[0].next_offset(), "{index} flipped at {at}");
            }
        }
    }
}

#[test]
fn leader_epochs_are_read_from_the_batches_where_their_file_is_lost() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), small()).unwrap();
    for epoch in [1, 3, 4] {
        for _ in 0..5 {
            log.append_as_leader(&mut disk, LeaderEpoch(epoch), &batch(2, 1000), now(2000)).unwrap();
        }
    }
    sync(&mut log, &disk);
    log.checkpoint(&mut disk, now(2000)).unwrap();
    let file = dir().join(names::LEADER_EPOCHS);
    for damage in [None, Some(vec![1, 2, 3])] {
        let mut disk = disk.clone();
        match damage {
            None => disk.remove(&file).unwrap(),
            Some(bytes) => disk.put(&file, bytes),
        }
        let (again, _) = reopen(&mut disk, small(), Offset(30));
        assert_eq!(again.epochs, log.epochs);
        assert_eq!(again.producers, log.producers);
        assert_eq!(again.end_offset_for_epoch(LeaderEpoch(2)), Some((LeaderEpoch(1), Offset(10))));
        assert_eq!(disk.bytes(&file).unwrap(), log.epochs.to_bytes());
    }
}

#[test]
fn a_damaged_checkpoint_is_an_error_that_says_what_to_do() {
    let mut disk = written(&LogConfig::default(), true).disk;
    let path = dir().join(names::CHECKPOINT);
    let len = disk.bytes(&path).unwrap().len();
    for at in 0..len {
        let mut disk = disk.clone();
        disk.bytes_mut(&path).unwrap()[at] ^= 0x10;
        let error = open(&mut disk, Offset(0)).unwrap_err();
        assert!(matches!(&error, OpenLogError::Damaged { file, .. } if *file == path), "{error}");
    }
    disk.bytes_mut(&path).unwrap()[7] ^= 0x10;
    let message = open(&mut disk, Offset(0)).unwrap_err().to_string();
    assert_eq!(
        message,
        "t-0/checkpoint is damaged at byte 0, which is offset 0: its checksum is wrong; restore it from a copy, or move \
         t-0 away to give up the partition's records"
    );
}

#[test]
fn a_missing_segment_is_damage_below_the_recovery_point_and_a_torn_end_above() {
    let written = written(&small(), true);
    let (log, _) = reopen(&mut written.disk.clone(), small(), Offset(0));
    let bases: Vec<_> = log.segments.keys().copied().collect();
    assert!(bases.len() > 2);
    for base in bases {
        let mut disk = written.disk.clone();
        disk.remove(&names::log(&dir(), base, Generation::ORIGINAL)).unwrap();
        let opened = Log::open(&mut disk, dir(), small(), written.synced, now(3000));
        if base < written.synced {
            assert!(matches!(opened, Err(OpenLogError::Damaged { offset, .. }) if offset <= base), "without {base}");
        } else {
            let (log, recovery) = opened.unwrap();
            log.check();
            assert_eq!(log.end_offset(), base);
            let kept = usize::try_from(log.size_bytes()).unwrap();
            assert_eq!(read_all(&log, &disk), written.all[..kept]);
            let later = disk.list(&dir()).unwrap().into_iter().map(|entry| names::parse(&entry.name));
            assert!(later.into_iter().all(|kind| !matches!(kind, Kind::Log(at, _) if at > base)), "{recovery:?}");
        }
    }
}

#[test]
fn a_directory_without_a_single_file_is_an_empty_log_unless_something_was_synced() {
    let mut disk = MemoryDisk::new();
    disk.create_dir(&dir()).unwrap();
    let (mut log, _) = open(&mut disk, Offset(0)).unwrap();
    append(&mut log, &mut disk, &batch(2, 1000));
    assert!(log.dirty(&disk).unwrap().directories.contains(&dir()));
    let mut disk = MemoryDisk::new();
    disk.create_dir(&dir()).unwrap();
    assert!(matches!(open(&mut disk, Offset(1)), Err(OpenLogError::Damaged { .. })));
}

#[test]
fn a_start_beyond_the_recovered_end_goes_back_for_good() {
    let mut disk = MemoryDisk::new();
    let mut log = Log::create(&mut disk, dir(), LogConfig::default()).unwrap();
    append(&mut log, &mut disk, &batch(4, 1000));
    sync(&mut log, &disk);
    let durable = disk.bytes(&segment(0)).unwrap().len();
    append(&mut log, &mut disk, &batch(4, 1000));
    log.delete_records_before(&mut disk, Offset(7)).unwrap();
    disk.bytes_mut(&segment(0)).unwrap().truncate(durable);
    let (mut log, _) = open(&mut disk, Offset(4)).unwrap();
    assert_eq!((log.start_offset(), log.end_offset()), (Offset(4), Offset(4)));
    append(&mut log, &mut disk, &batch(1, 1000));
    let (log, _) = open(&mut disk, Offset(4)).unwrap();
    assert_eq!(
        (log.start_offset(), log.end_offset()),
        (Offset(4), Offset(5)),
        "the new record is not taken for deleted"
    );
}

#[test]
fn an_epoch_is_saved_with_its_first_record() {
    let Written { mut disk, .. } = written(&LogConfig::default(), true);
    let (mut log, _) = open(&mut disk, Offset(0)).unwrap();
    sync(&mut log, &disk);
    log.checkpoint(&mut disk, now(2000)).unwrap();
    sync(&mut log, &disk);
    drop(log);

    let end = {
        let (mut log, _) = open(&mut disk, Offset(0)).unwrap();
        log.begin_epoch(LeaderEpoch(8)).unwrap();
        assert!(log.dirty(&disk).is_none(), "nothing needs a sync if nobody writes");
        log.end_offset()
    };
    let (mut log, _) = open(&mut disk, Offset(0)).unwrap();
    assert_eq!(log.latest_epoch(), Some(EPOCH), "an epoch without a record is forgotten");
    log.begin_epoch(LeaderEpoch(9)).unwrap();
    log.append_as_leader(&mut disk, LeaderEpoch(9), &batch(1, 1000), now(2000)).unwrap();
    sync(&mut log, &disk);
    log.checkpoint(&mut disk, now(2000)).unwrap();
    drop(log);
    let (log, recovery) = open(&mut disk, Offset(0)).unwrap();
    assert_eq!(recovery.bytes_read, 0, "the checkpoint knows everything");
    assert_eq!(log.end_offset_for_epoch(EPOCH), Some((EPOCH, end)));
    assert_eq!(log.epoch_at(end), Some(LeaderEpoch(9)));
}

/// Opens a log that was damaged; if that succeeds, it takes a record and opens again as it was.
fn open_twice(disk: &mut MemoryDisk, recovery_point: Offset, story: &str) {
    let Ok((mut log, _)) = Log::open(disk, dir(), small(), recovery_point, now(3000)) else { return };
    log.check();
    let epoch = LeaderEpoch(9);
    if log.begin_epoch(epoch).is_err() {
        return;
    }
    log.append_as_leader(disk, epoch, &batch(1, 1000), now(2000)).unwrap();
    let held = (log.start_offset(), log.end_offset());
    drop(log);
    let again = Log::open(disk, dir(), small(), recovery_point, now(3000));
    let (again, _) = again.unwrap_or_else(|error| panic!("{story}: {error}"));
    assert_eq!((again.start_offset(), again.end_offset()), held, "{story}");
}

/// Fuzzing found this: a leader epoch lies outside its batch's checksum, and once it had been overwritten by a high one,
/// recovery took all that the leader appended for an older leader's leftovers.
#[test]
fn a_leader_epoch_overwritten_anywhere_is_refused_or_opens_twice() {
    let written = written(&LogConfig::default(), false);
    let starts: Vec<_> = (0..written.all.len()).filter(|at| batch_start(&written.batches, *at) == *at).collect();
    assert_eq!(starts.len(), written.batches.len());
    for at in starts.iter().flat_map(|start| start + 12..start + 16) {
        for byte in 0..=255 {
            let mut disk = written.disk.clone();
            disk.bytes_mut(&segment(0)).unwrap()[at] = byte;
            open_twice(&mut disk, Offset(0), &format!("byte {at} is {byte}"));
        }
    }
    let mut disk = written.disk.clone();
    disk.bytes_mut(&segment(0)).unwrap()[13] = 1;
    let (mut log, _) = open(&mut disk, Offset(0)).unwrap();
    assert_eq!(
        log.begin_epoch(LeaderEpoch(7)).unwrap_err().to_string(),
        "t-0 has records of leader epoch 65536, but the cluster has only come to epoch 7: the log is damaged or another \
         cluster's; restore t-0 from a copy, or move it away to give up the partition's records"
    );
}

/// Fuzzing found this: one file took the place of the leader epochs, so everything was read again, and another the place
/// of a segment that the checkpoint knows. What it held reached the floor, the rest of the log was removed as torn off,
/// and the next start found a segment of another length than the checkpoint says.
#[test]
fn a_log_with_exchanged_files_is_refused_or_opens_twice() {
    for (checkpoint, recovery_point) in [(true, Offset(0)), (false, Offset(0)), (false, Offset(6))] {
        let disk = written(&small(), checkpoint).disk;
        let names: Vec<_> = disk.list(&dir()).unwrap().into_iter().map(|entry| dir().join(&entry.name)).collect();
        let pairs = || names.iter().flat_map(|to| names.iter().map(move |from| (to, from)));
        let exchange = |disk: &mut MemoryDisk, (to, from): (&LogPath, &LogPath)| {
            let bytes = disk.bytes(from).unwrap().to_vec();
            disk.put(to, bytes);
        };
        for first in pairs() {
            for second in pairs() {
                let mut disk = disk.clone();
                exchange(&mut disk, first);
                exchange(&mut disk, second);
                open_twice(&mut disk, recovery_point, &format!("{first:?}, then {second:?}"));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_files_open_or_are_refused_but_never_panic(
        files in proptest::collection::vec(
            (proptest::sample::select(vec![
                "00000000000000000000.log", "00000000000000000003.log", "00000000000000000000.index",
                "checkpoint", "leader-epoch-checkpoint", "log-start-offset", "00000000000000000003.snapshot",
                "99999999999999999999.log", "0.log", "-0000000000000000001.log",
            ]), proptest::collection::vec(any::<u8>(), 0..200)),
            0..6,
        ),
        recovery_point in 0..5_i64,
    ) {
        let mut disk = MemoryDisk::new();
        disk.create_dir(&dir()).unwrap();
        for (name, bytes) in files {
            disk.put(&dir().join(name), bytes);
        }
        if let Ok((log, _)) = open(&mut disk, Offset(recovery_point)) {
            prop_assert!(log.end_offset() >= Offset(recovery_point));
        }
    }
}
