//! Reading a body within its limits, unzipping it on the way. A body that is not whole is none.
//!
//! What a body is zipped with is told by its own first bytes: servers name codings that are none (`UTF-8`), that they
//! did not apply, or none though a cache zipped it. The header only decides where bytes alone can't.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use calmesh_app::ports::BodyRoom;
use flate2::{Decompress, FlushDecompress, Status, write::MultiGzDecoder};
use reqwest::{Response, header::CONTENT_ENCODING};

use crate::{failure::Trouble, watch::Watch};

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
    /// Nothing was taken: the same bytes are offered again once the body may have so many.
    #[error("no room yet")]
    NoRoom(usize),
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

/// How many bytes a body may have by now; none: as many as it wants.
type Granted = Option<Arc<AtomicUsize>>;

/// One layer of a body: what comes in is counted, looked at, and handed on to the layer within. What the layer within has
/// no room for is kept and handed on first, with the next bytes that come.
#[derive(Debug)]
struct Layer {
    limit: usize,
    taken: usize,
    said: Said,
    /// How many more may be within.
    left: u8,
    granted: Granted,
    /// The first bytes, too few to tell by, or told by and not handed on yet.
    head: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    Untold,
    Plain(Vec<u8>, Granted),
    /// Several members one after the other are one body (RFC 1952, section 2.2).
    Gzip(Box<MultiGzDecoder<Layer>>),
    Deflate(Box<Inflating>),
}

#[derive(Debug)]
struct Inflating {
    inflate: Decompress,
    ended: bool,
    /// What was inflated and not handed on yet.
    out: Vec<u8>,
    within: Layer,
}

impl Layer {
    fn new(limit: usize, said: Said, left: u8, granted: Granted) -> Self {
        Self { limit, taken: 0, said, left, granted, head: Vec::new(), state: State::Untold }
    }

    /// The header speaks of the outermost layer alone.
    fn within(&self) -> Self {
        Self::new(self.limit, Said::default(), self.left.saturating_sub(1), self.granted.clone())
    }

    /// Decides by the first bytes, which are still to be handed on.
    fn tell(&mut self) -> Result<(), Refused> {
        let kind = if self.left == 0 { Kind::Plain } else { Kind::of(&self.head, self.said)? };
        self.state = match kind {
            Kind::Plain => State::Plain(Vec::new(), self.granted.clone()),
            Kind::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(self.within()))),
            Kind::Zlib | Kind::RawDeflate => {
                let inflate = Decompress::new(kind == Kind::Zlib);
                let out = Vec::with_capacity(INFLATED_AT_ONCE);
                State::Deflate(Box::new(Inflating { inflate, ended: false, out, within: self.within() }))
            }
        };
        Ok(())
    }

    /// Answers how much of it was taken.
    fn hand_on(&mut self, chunk: &[u8]) -> io::Result<usize> {
        if matches!(self.state, State::Untold) {
            self.head.extend_from_slice(chunk);
            if self.head.len() >= TELLING {
                self.tell()?;
            }
            return Ok(chunk.len());
        }
        self.hand_on_head()?;
        self.state.take(chunk)
    }

    fn hand_on_head(&mut self) -> io::Result<()> {
        hand_out(&mut self.head, |head| self.state.take(head))
    }

    /// Everything has come: what is on its way within is handed on to its end. May be called again.
    fn end(&mut self) -> io::Result<()> {
        if matches!(self.state, State::Untold) {
            // An empty body says that it is empty, whatever its coding; the reader tells the host so.
            self.tell()?;
        }
        self.hand_on_head()?;
        match &mut self.state {
            State::Untold | State::Plain(..) => Ok(()),
            // The end of the last member carries its length and checksum: without them it was cut.
            State::Gzip(decoder) => {
                decoder.try_finish()?;
                decoder.get_mut().end()
            }
            State::Deflate(inflating) => {
                inflating.take(&[])?;
                if !inflating.ended {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                inflating.within.end()
            }
        }
    }

    /// The innermost bytes; called after `end`.
    fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self.state {
            State::Untold => Ok(self.head),
            State::Plain(bytes, _) => Ok(bytes),
            State::Gzip(decoder) => decoder.finish()?.into_bytes(),
            State::Deflate(inflating) => inflating.within.into_bytes(),
        }
    }
}

impl State {
    fn take(&mut self, chunk: &[u8]) -> io::Result<usize> {
        match self {
            Self::Untold => Ok(0),
            Self::Plain(bytes, granted) => {
                let wanted = bytes.len().saturating_add(chunk.len());
                if let Some(granted) = granted {
                    let granted = granted.load(Ordering::Relaxed);
                    if wanted > granted {
                        return Err(Refused::NoRoom(wanted).into());
                    }
                    // Doubling would take more than was granted.
                    bytes.reserve_exact(granted.saturating_sub(bytes.len()));
                }
                bytes.extend_from_slice(chunk);
                Ok(chunk.len())
            }
            Self::Gzip(decoder) => decoder.write(chunk),
            Self::Deflate(inflating) => inflating.take(chunk),
        }
    }
}

impl Write for Layer {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        // Each layer is bounded: what is zipped twice could else be endless in between.
        if chunk.len() > self.limit.saturating_sub(self.taken) {
            return Err(Refused::TooLarge.into());
        }
        let taken = self.hand_on(chunk)?;
        self.taken = self.taken.saturating_add(taken);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inflating {
    /// What comes after the end of the stream is passed over.
    fn take(&mut self, chunk: &[u8]) -> io::Result<usize> {
        loop {
            let within = &mut self.within;
            hand_out(&mut self.out, |out| within.write(out))?;
            if self.ended {
                return Ok(chunk.len());
            }
            let before = self.inflate.total_in();
            let status = self.inflate.decompress_vec(chunk, &mut self.out, FlushDecompress::None)?;
            let used = usize::try_from(self.inflate.total_in() - before).unwrap_or(chunk.len());
            self.ended = status == Status::StreamEnd;
            match used {
                // There may be more of what came before.
                0 if self.ended || !self.out.is_empty() => {}
                0 => return Ok(chunk.len()),
                used => return Ok(used),
            }
        }
    }
}

/// Hands bytes on until none are left. What was not taken stays.
fn hand_out(bytes: &mut Vec<u8>, mut take: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
    while !bytes.is_empty() {
        match take(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            taken => drop(bytes.drain(..taken)),
        }
    }
    Ok(())
}

fn trouble(error: &io::Error, limit: usize) -> Trouble {
    match refusal(error) {
        Some(Refused::TooLarge) => Trouble::TooLarge(limit),
        Some(Refused::Coding) => Trouble::Coding,
        Some(Refused::NoRoom(_)) | None => Trouble::Cut,
    }
}

fn refusal(error: &io::Error) -> Option<Refused> {
    error.get_ref()?.downcast_ref().copied()
}

/// What a body may grow into.
#[derive(Debug)]
struct Growth<'a> {
    room: Option<Arc<dyn BodyRoom>>,
    granted: Granted,
    watch: &'a Watch,
    limit: usize,
}

impl Growth<'_> {
    /// Waits for more room where that is what is wanting. Answers whether there is some now.
    async fn after(&self, error: &io::Error) -> Result<bool, Trouble> {
        match (refusal(error), &self.room, &self.granted) {
            (Some(Refused::NoRoom(wanted)), Some(room), Some(granted)) => {
                // The site can't help it, and has all its time afterwards.
                let Some(may) = self.watch.pausing(room.grow(wanted)).await else { return Ok(false) };
                granted.store(may.max(wanted), Ordering::Relaxed);
                Ok(true)
            }
            _ => Err(trouble(error, self.limit)),
        }
    }
}

/// Bytes that keep their room for as long as anybody has them.
#[derive(Debug)]
struct Roomed {
    bytes: Vec<u8>,
    _room: Arc<dyn BodyRoom>,
}

impl AsRef<[u8]> for Roomed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The whole body, at most `limit` bytes of it on the wire and unzipped; none where there was no room for it.
pub(crate) async fn read(
    mut response: Response,
    limit: usize,
    room: Option<Arc<dyn BodyRoom>>,
    watch: &Watch,
) -> Result<Option<Bytes>, Trouble> {
    if response.content_length().is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
        return Err(Trouble::TooLarge(limit));
    }
    let granted: Granted = room.is_some().then(Arc::default);
    let growth = Growth { room, granted: granted.clone(), watch, limit };
    let mut body = Layer::new(limit, Said::of(&response), LAYERS, granted);
    // The client itself fails on a body that is shorter than announced or lacks its last chunk.
    while let Some(mut chunk) = response.chunk().await.map_err(|_| Trouble::Cut)? {
        while !chunk.is_empty() {
            match body.write(&chunk) {
                Ok(0) => return Err(Trouble::Cut),
                Ok(taken) => drop(chunk.split_to(taken)),
                Err(error) if growth.after(&error).await? => {}
                Err(_) => return Ok(None),
            }
        }
    }
    while let Err(error) = body.end() {
        if !growth.after(&error).await? {
            return Ok(None);
        }
    }
    let bytes = body.into_bytes().map_err(|error| trouble(&error, limit))?;
    Ok(Some(match growth.room {
        Some(room) => Bytes::from_owner(Roomed { bytes, _room: room }),
        None => Bytes::from(bytes),
    }))
}
