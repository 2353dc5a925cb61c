//! Record batches, as they come and with a header that fits: walking, reading and compressing again agree, in bounded
//! memory and work.

#![no_main]

use bytes::Bytes;
use highwater_wire::records::{BatchHeader, Batches, Compression, recompress, records, verify_crc, walk};
use libfuzzer_sys::fuzz_target;

const DECOMPRESSED_BYTES_MAX: u64 = 1 << 20;

fn check(batch: &Bytes) {
    let _damaged = verify_crc(batch).is_err();
    let mut walked = 0;
    let whole = walk(batch, DECOMPRESSED_BYTES_MAX, |_| walked += 1).is_ok();
    let read: Vec<_> = match records(batch, DECOMPRESSED_BYTES_MAX) {
        Ok(all) => all.collect(),
        Err(_) => {
            assert!(!whole, "a batch that can be walked can be read");
            return;
        }
    };
    if !whole {
        return;
    }
    assert!(read.len() == walked && read.iter().all(Result::is_ok), "walking and reading disagree");
    for codec in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let again = recompress(batch, codec, None, DECOMPRESSED_BYTES_MAX, usize::MAX).expect("a good batch has every codec");
        verify_crc(&again).expect("a new batch has its checksum");
        let twin: Vec<_> = records(&again.into(), DECOMPRESSED_BYTES_MAX).expect("a new batch is good").collect();
        assert_eq!(read, twin, "compressing again changes records");
    }
}

/// Bytes that start with a header of the right length and format, so that the fuzzer need not find those.
fn fitted(bytes: &[u8]) -> Option<Bytes> {
    let mut batch = bytes.to_vec();
    if batch.len() < BatchHeader::LEN {
        return None;
    }
    let length = i32::try_from(batch.len() - 12).ok()?;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = 2;
    Some(batch.into())
}

fuzz_target!(|bytes: &[u8]| {
    for (_, batch) in Batches(Bytes::copy_from_slice(bytes)).flatten() {
        check(&batch);
    }
    if let Some(batch) = fitted(bytes) {
        check(&batch);
    }
});
