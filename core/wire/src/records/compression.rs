//! The codecs of record batches.

use std::io::{self, BufRead, BufReader, Read, Write};

use super::record::Fault;
use super::{BatchError, BatchHeader, crc32c};

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy, in the blocks of snappy-java.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// Every codec, in the order of their ids.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this id in a batch's attributes.
    pub fn from_id(id: i16) -> Option<Self> {
        Self::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// The codec's id in a batch's attributes.
    pub fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The codec's name in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Bytes that a decompressor holds ready.
const BUFFER_BYTES: usize = 32 * 1024;

/// Bytes that one block of framed snappy holds before compression, as in snappy-java.
const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;

/// How many bytes one byte of snappy can stand for: a three-byte copy yields 64.
const SNAPPY_RATIO_MAX: usize = 22;

/// What starts the framing of snappy-java: a magic number, its version, the oldest version that can read it.
const SNAPPY_JAVA_HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];

/// Reads what `bytes` decompress to, failing with [`io::ErrorKind::FileTooLarge`] after `limit` bytes.
pub(super) fn decompressor<'a>(
    codec: Compression,
    bytes: &'a [u8],
    limit: u64,
) -> Result<Box<dyn BufRead + 'a>, BatchError> {
    let reader: Box<dyn Read + 'a> = match codec {
        Compression::None => Box::new(bytes),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
        Compression::Snappy => Box::new(SnappyReader::new(bytes, limit)),
        Compression::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(bytes)),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(bytes);
            Box::new(decoder.map_err(|error| BatchError::Decompress(error.to_string()))?)
        }
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, Limited { reader, left: limit })))
}

/// Passes on at most `left` bytes; one more is an error, not an end.
struct Limited<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(out)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

/// Reads snappy in the framing of snappy-java, or as one raw block, which other clients send.
struct SnappyReader<'a> {
    rest: &'a [u8],
    framed: bool,
    block: Vec<u8>,
    taken: usize,
    limit: u64,
}

impl<'a> SnappyReader<'a> {
    fn new(bytes: &'a [u8], limit: u64) -> Self {
        let framed = bytes.len() >= SNAPPY_JAVA_HEADER.len() && bytes.starts_with(&SNAPPY_JAVA_HEADER[..8]);
        let rest = if framed { &bytes[SNAPPY_JAVA_HEADER.len()..] } else { bytes };
        Self { rest, framed, block: Vec::new(), taken: 0, limit }
    }

    fn next_block(&mut self) -> io::Result<()> {
        let compressed = if self.framed { self.next_framed()? } else { std::mem::take(&mut self.rest) };
        let len = snap::raw::decompress_len(compressed)?;
        // The block says itself how long it will be, so what it cannot reach is not allocated.
        if len as u64 > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if len > compressed.len().saturating_mul(SNAPPY_RATIO_MAX) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a snappy block is shorter than it claims"));
        }
        self.block.resize(len, 0);
        self.taken = 0;
        snap::raw::Decoder::new().decompress(compressed, &mut self.block)?;
        Ok(())
    }

    fn next_framed(&mut self) -> io::Result<&'a [u8]> {
        let (len, rest) = self.rest.split_first_chunk::<4>().ok_or(io::ErrorKind::UnexpectedEof)?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let (block, rest) = rest.split_at_checked(len).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.rest = rest;
        Ok(block)
    }
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() {
            if self.rest.is_empty() {
                return Ok(0);
            }
            self.next_block()?;
        }
        let count = out.len().min(self.block.len() - self.taken);
        out[..count].copy_from_slice(&self.block[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

/// Collects at most `left` bytes; one more is an error.
struct LimitedWriter<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl Write for LimitedWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends what `source` holds to `out`, compressed, at most `limit` bytes of it.
///
/// A codec that is told the source's `size` takes no larger tables than it needs. `level` is the codec's own scale, none its default. LZ4 has one level here: its crate has no slower search.
pub(super) fn compress(
    codec: Compression,
    level: Option<i32>,
    source: &mut impl Read,
    size: Option<usize>,
    out: &mut Vec<u8>,
    limit: usize,
) -> io::Result<()> {
    let mut out = LimitedWriter { out, left: limit };
    match codec {
        Compression::None => {
            io::copy(source, &mut out)?;
        }
        Compression::Gzip => {
            let level = level.and_then(|level| u32::try_from(level).ok());
            let level = level.map_or_else(flate2::Compression::default, |level| flate2::Compression::new(level.min(9)));
            let mut encoder = flate2::write::GzEncoder::new(out, level);
            io::copy(source, &mut encoder)?;
            encoder.finish()?;
        }
        Compression::Snappy => compress_snappy(source, &mut out)?,
        Compression::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new()
                .block_size(lz4_flex::frame::BlockSize::Max64KB)
                .block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
            io::copy(source, &mut encoder)?;
            encoder.finish()?;
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(out, level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL))?;
            encoder.set_pledged_src_size(size.map(|size| size as u64))?;
            io::copy(source, &mut encoder)?;
            encoder.finish()?;
        }
    }
    Ok(())
}

fn compress_snappy(source: &mut impl Read, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&SNAPPY_JAVA_HEADER)?;
    let mut encoder = snap::raw::Encoder::new();
    let (mut plain, mut compressed) = (Vec::new(), Vec::new());
    loop {
        plain.clear();
        source.by_ref().take(SNAPPY_BLOCK_BYTES as u64).read_to_end(&mut plain)?;
        if plain.is_empty() {
            return Ok(());
        }
        compressed.resize(snap::raw::max_compress_len(plain.len()), 0);
        let len = encoder.compress(&plain, &mut compressed)?;
        out.write_all(&u32::try_from(len).expect("a block is small").to_be_bytes())?;
        out.write_all(&compressed[..len])?;
    }
}

/// Makes one whole batch again with another codec (`compression.type`). Its header stays, but for what the codec changes.
///
/// # Errors
/// Compressed bytes that are not; [`BatchError::TooLarge`] if its records are more than `limit` bytes before
/// compression, or the new batch more than `batch_bytes_max` after it.
pub fn recompress(
    batch: &[u8],
    codec: Compression,
    level: Option<i32>,
    limit: u64,
    batch_bytes_max: usize,
) -> Result<Vec<u8>, BatchError> {
    let mut header = BatchHeader::parse(batch)?;
    let (have, need) = (batch.len(), header.size_in_bytes());
    let body = batch.get(BatchHeader::LEN..need).ok_or(BatchError::Truncated { have, need })?;
    let mut source = decompressor(header.compression()?, body, limit)?;
    let mut out = vec![0; BatchHeader::LEN];
    let out_max = batch_bytes_max.min(i32::MAX as usize).saturating_sub(BatchHeader::LEN);
    compress(codec, level, &mut source, None, &mut out, out_max)
        .map_err(|error| Fault::from(error).into_error(0, limit.min(batch_bytes_max as u64)))?;
    header.set_compression(codec);
    seal(&mut out, header);
    Ok(out)
}

/// Writes the header in front of the records in `batch`, with the length and checksum that they have.
pub(super) fn seal(batch: &mut [u8], mut header: BatchHeader) {
    header.batch_length = i32::try_from(batch.len() - BatchHeader::LENGTH_END).expect("batches stay below 2 GiB");
    let (front, records) = batch.split_at_mut(BatchHeader::LEN);
    header.crc = crc32c(&[&header.to_bytes()[BatchHeader::CHECKSUMMED_FROM..], records]);
    front.copy_from_slice(&header.to_bytes());
}
