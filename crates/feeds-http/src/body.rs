//! Reading a body within its limits, unzipping it on the way. A body that is not whole is none.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use reqwest::{Response, header::CONTENT_ENCODING};

use crate::failure::Trouble;

/// A server's announced length is believed for so much memory; what comes beyond grows as it comes.
const FIRST_RESERVE: usize = 64 * 1024;

/// Collects bytes up to a limit, and remembers that it was passed.
#[derive(Debug)]
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
    passed: bool,
}

impl Limited {
    fn new(limit: usize, announced: Option<u64>) -> Self {
        let reserve = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        Self { bytes: Vec::with_capacity(reserve.min(FIRST_RESERVE).min(limit)), limit, passed: false }
    }
}

impl Write for Limited {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        if chunk.len() > self.limit - self.bytes.len() {
            self.passed = true;
            return Err(io::Error::other("more than the limit"));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
enum Collector {
    Plain(Limited),
    /// Several members one after the other are one body (RFC 1952, section 2.2).
    Gzip {
        decoder: Box<MultiGzDecoder<Limited>>,
        any: bool,
    },
}

impl Collector {
    fn of(response: &Response, limit: usize) -> Result<Self, Trouble> {
        let mut codings = response.headers().get_all(CONTENT_ENCODING).into_iter();
        let coding = match (codings.next(), codings.next()) {
            (None, _) => "identity".to_owned(),
            (Some(value), None) => value.to_str().map_err(|_| Trouble::Coding)?.trim().to_ascii_lowercase(),
            (Some(_), Some(_)) => return Err(Trouble::Coding),
        };
        match coding.as_str() {
            "" | "identity" => Ok(Self::Plain(Limited::new(limit, response.content_length()))),
            // The announced length is that of the zipped bytes and says nothing of what they hold.
            "gzip" | "x-gzip" => {
                Ok(Self::Gzip { decoder: Box::new(MultiGzDecoder::new(Limited::new(limit, None))), any: false })
            }
            _ => Err(Trouble::Coding),
        }
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), Trouble> {
        let (result, out) = match self {
            Self::Plain(out) => (out.write_all(chunk), &*out),
            Self::Gzip { decoder, any } => {
                *any |= !chunk.is_empty();
                (decoder.write_all(chunk), decoder.get_ref())
            }
        };
        result.map_err(|_| if out.passed { Trouble::TooLarge(out.limit) } else { Trouble::Cut })
    }

    fn finish(self) -> Result<Vec<u8>, Trouble> {
        match self {
            Self::Plain(out) => Ok(out.bytes),
            // An empty body says that it is empty, whatever its coding; the reader tells the host so.
            Self::Gzip { any: false, .. } => Ok(Vec::new()),
            Self::Gzip { mut decoder, .. } => {
                let finished = decoder.try_finish();
                let out = decoder.get_ref();
                if out.passed {
                    return Err(Trouble::TooLarge(out.limit));
                }
                // The end of the last member carries its length and checksum: without them it was cut.
                finished.map_err(|_| Trouble::Cut)?;
                Ok(decoder.finish().map_err(|_| Trouble::Cut)?.bytes)
            }
        }
    }
}

/// The whole body, at most `limit` bytes of it on the wire and unzipped.
pub(crate) async fn read(mut response: Response, limit: usize) -> Result<Bytes, Trouble> {
    if response.content_length().is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
        return Err(Trouble::TooLarge(limit));
    }
    let mut collector = Collector::of(&response, limit)?;
    let mut on_the_wire = 0_usize;
    // The client itself fails on a body that is shorter than announced or lacks its last chunk.
    while let Some(chunk) = response.chunk().await.map_err(|_| Trouble::Cut)? {
        on_the_wire = on_the_wire.saturating_add(chunk.len());
        if on_the_wire > limit {
            return Err(Trouble::TooLarge(limit));
        }
        collector.take(&chunk)?;
    }
    collector.finish().map(Bytes::from)
}
