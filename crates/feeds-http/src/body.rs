//! Reading a body within its limits, unzipping it on the way. A body that is not whole is none.
//!
//! What a body is zipped with is told by its own first bytes: servers name codings that are none (`UTF-8`), that they
//! did not apply, or none though a cache zipped it. The header only decides where bytes alone can't.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status, write::MultiGzDecoder};
use reqwest::{Response, header::CONTENT_ENCODING};

use crate::failure::Trouble;

/// A server's announced length is believed for so much memory; what comes beyond grows as it comes.
const FIRST_RESERVE: usize = 64 * 1024;
/// So many first bytes tell what a body is.
const TELLING: usize = 16;
/// A body may be zipped so often, one around the other: once by a program, once more by what stands before it.
const LAYERS: u8 = 3;
const INFLATED_AT_ONCE: usize = 16 * 1024;

const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const UTF8_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// What an error of a layer means, where it is more than a body that is cut or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("more than the limit")]
    TooLarge,
    #[error("a coding that is not read here")]
    Coding,
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::other(refused)
    }
}

/// What the header says, as far as it is needed.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    /// `gzip` or `deflate`: bytes that look like nothing else may be raw deflate, which has no mark of its own.
    zipped: bool,
    /// `br`, `zstd`, `compress`: bytes that are no text are not read here.
    foreign: bool,
}

impl Said {
    fn of(response: &Response) -> Self {
        let mut said = Self::default();
        for value in response.headers().get_all(CONTENT_ENCODING) {
            let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
            for coding in text.split(',').map(str::trim) {
                said.zipped |= matches!(coding, "gzip" | "x-gzip" | "deflate");
                said.foreign |= matches!(coding, "br" | "zstd" | "dcb" | "dcz" | "compress" | "x-compress");
            }
        }
        said
    }
}

/// What a body is by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Zlib,
    RawDeflate,
}

impl Kind {
    fn of(head: &[u8], said: Said) -> Result<Self, Refused> {
        if head.starts_with(&GZIP) {
            return Ok(Self::Gzip);
        }
        if head.starts_with(&ZSTD) {
            return Err(Refused::Coding);
        }
        if is_zlib(head) {
            return Ok(Self::Zlib);
        }
        if is_text(head) || is_utf16(head) {
            return Ok(Self::Plain);
        }
        match said {
            Said { foreign: true, .. } => Err(Refused::Coding),
            Said { zipped: true, .. } => Ok(Self::RawDeflate),
            // Whatever it is, the reader says so.
            Said { .. } => Ok(Self::Plain),
        }
    }
}

/// RFC 1950, section 2.2, with the window that all compressors use: the first two bytes are a multiple of 31, without a
/// preset dictionary. `x^` alone would be text, and no calendar begins so.
fn is_zlib(head: &[u8]) -> bool {
    let [0x78, flags, ..] = head else { return false };
    (0x7800 + u32::from(*flags)).is_multiple_of(31) && flags & 0x20 == 0
}

fn is_text(head: &[u8]) -> bool {
    let text = head.strip_prefix(&UTF8_MARK).unwrap_or(head);
    text.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~'))
}

/// With its mark, or by the empty half of a first letter.
fn is_utf16(head: &[u8]) -> bool {
    matches!(head, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'A'..=b'z', 0, ..] | [0, b'A'..=b'z', ..])
}

/// One layer of a body: what comes in is counted, looked at, and handed on to the layer within.
#[derive(Debug)]
struct Layer {
    limit: usize,
    taken: usize,
    said: Said,
    /// How many more may be within.
    left: u8,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Too few bytes came to tell.
    Untold(Vec<u8>),
    Plain(Vec<u8>),
    /// Several members one after the other are one body (RFC 1952, section 2.2).
    Gzip(Box<MultiGzDecoder<Layer>>),
    Deflate(Box<Inflating>),
}

#[derive(Debug)]
struct Inflating {
    inflate: Decompress,
    ended: bool,
    within: Layer,
}

impl Layer {
    fn new(limit: usize, said: Said, left: u8) -> Self {
        Self { limit, taken: 0, said, left, state: State::Untold(Vec::new()) }
    }

    /// The header speaks of the outermost layer alone.
    fn within(&self) -> Self {
        Self::new(self.limit, Said::default(), self.left.saturating_sub(1))
    }

    /// Decides by what came, and takes it.
    fn tell(&mut self, head: &[u8]) -> io::Result<()> {
        let kind = if self.left == 0 { Kind::Plain } else { Kind::of(head, self.said)? };
        self.state = match kind {
            Kind::Plain => State::Plain(Vec::with_capacity(FIRST_RESERVE.min(self.limit))),
            Kind::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(self.within()))),
            Kind::Zlib | Kind::RawDeflate => {
                let inflate = Decompress::new(kind == Kind::Zlib);
                State::Deflate(Box::new(Inflating { inflate, ended: false, within: self.within() }))
            }
        };
        self.hand_on(head)
    }

    fn hand_on(&mut self, chunk: &[u8]) -> io::Result<()> {
        match &mut self.state {
            State::Untold(head) => {
                head.extend_from_slice(chunk);
                if head.len() < TELLING {
                    return Ok(());
                }
                let head = std::mem::take(head);
                self.tell(&head)
            }
            State::Plain(bytes) => {
                bytes.extend_from_slice(chunk);
                Ok(())
            }
            State::Gzip(decoder) => decoder.write_all(chunk),
            State::Deflate(inflating) => inflating.take(chunk),
        }
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        if let State::Untold(head) = &mut self.state {
            let head = std::mem::take(head);
            // An empty body says that it is empty, whatever its coding; the reader tells the host so.
            self.tell(&head)?;
        }
        match self.state {
            State::Untold(bytes) | State::Plain(bytes) => Ok(bytes),
            // The end of the last member carries its length and checksum: without them it was cut.
            State::Gzip(decoder) => decoder.finish()?.finish(),
            State::Deflate(inflating) if inflating.ended => inflating.within.finish(),
            State::Deflate(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Write for Layer {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        // Each layer is bounded: what is zipped twice could else be endless in between.
        if chunk.len() > self.limit.saturating_sub(self.taken) {
            return Err(Refused::TooLarge.into());
        }
        self.taken += chunk.len();
        self.hand_on(chunk)?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inflating {
    /// What comes after the end of the stream is passed over.
    fn take(&mut self, mut chunk: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(INFLATED_AT_ONCE);
        while !self.ended {
            out.clear();
            let before = self.inflate.total_in();
            let status = self.inflate.decompress_vec(chunk, &mut out, FlushDecompress::None)?;
            let used = usize::try_from(self.inflate.total_in() - before).unwrap_or(chunk.len());
            chunk = chunk.get(used..).unwrap_or_default();
            self.ended = status == Status::StreamEnd;
            let stands = used == 0 && out.is_empty();
            self.within.write_all(&out)?;
            if stands {
                break;
            }
        }
        Ok(())
    }
}

fn trouble(error: &io::Error, limit: usize) -> Trouble {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Refused::TooLarge) => Trouble::TooLarge(limit),
        Some(Refused::Coding) => Trouble::Coding,
        None => Trouble::Cut,
    }
}

/// The whole body, at most `limit` bytes of it on the wire and unzipped.
pub(crate) async fn read(mut response: Response, limit: usize) -> Result<Bytes, Trouble> {
    if response.content_length().is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
        return Err(Trouble::TooLarge(limit));
    }
    let mut body = Layer::new(limit, Said::of(&response), LAYERS);
    // The client itself fails on a body that is shorter than announced or lacks its last chunk.
    while let Some(chunk) = response.chunk().await.map_err(|_| Trouble::Cut)? {
        body.write_all(&chunk).map_err(|error| trouble(&error, limit))?;
    }
    body.finish().map(Bytes::from).map_err(|error| trouble(&error, limit))
}
