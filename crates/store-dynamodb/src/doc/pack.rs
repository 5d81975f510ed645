//! The bytes of compact documents: what stands in them more than once is written once, and named by its place from then on.
//! Numbers take as many bytes as they need, ids of one property share what they begin with, dates and instants are
//! told by their distance from the one before.
//!
//! A reader believes nothing: what does not make sense is None. It sets aside no more than the bytes that are there account
//! for, and makes no more text of them than `ROOM`.

use std::{collections::HashMap, str::FromStr};

use calmesh_app::ports::StoreError;
use calmesh_calendar::{AccountId, BlockId, ConflictId, ConnectionId, HoldId, PropertyId};
use jiff::{SignedDuration, Timestamp, civil::Date};

/// What is told by distance or by place may be far larger than its bytes: so much text one document makes at most. What is
/// written comes nowhere near it, since a page is meant for 24 kB.
const ROOM: usize = 1_000_000;
const EPOCH: Date = jiff::civil::date(1970, 1, 1);
const DAY_HOURS: i64 = 24;
/// The first 63 bits of an id are those of its property.
const HOME: u128 = !(u128::MAX >> 63);
const RANDOM_CHARS: usize = 26;

/// A document of `what` that can't be read, in words that quote nothing.
pub(crate) fn unreadable(what: &str) -> StoreError {
    StoreError::Corrupt { what: format!("{what}: not of the expected form") }
}

/// What follows a document's first byte, which is its version.
pub(crate) fn of_version<'a>(bytes: &'a [u8], version: u8, what: &str) -> Result<&'a [u8], StoreError> {
    match bytes.split_first() {
        Some((known, rest)) if *known == version => Ok(rest),
        Some((other, _)) => Err(StoreError::Corrupt { what: format!("{what}: version {other} is not known here") }),
        None => Err(unreadable(what)),
    }
}

/// An id that is 128 random bits.
pub(crate) trait Id: FromStr {
    fn of_bits(bits: u128) -> Self;
    fn text(&self) -> &str;
}

macro_rules! ids {
    ($($id:ty)*) => {$(
        impl Id for $id {
            fn of_bits(bits: u128) -> Self {
                Self::from_random(bits.to_be_bytes())
            }

            fn text(&self) -> &str {
                self.as_str()
            }
        }
    )*};
}

ids!(AccountId PropertyId ConnectionId BlockId HoldId ConflictId);

/// The 128 bits that an id's text stands for; none where it stands for no such bits.
fn bits_of(id: &str) -> Option<u128> {
    let (_, random) = id.split_once('_')?;
    let mut bits: u128 = 0;
    for (nth, byte) in random.bytes().enumerate() {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'h' => byte - b'a' + 10,
            b'j' | b'k' => byte - b'j' + 18,
            b'm' | b'n' => byte - b'm' + 20,
            b'p'..=b't' => byte - b'p' + 22,
            b'v'..=b'z' => byte - b'v' + 27,
            _ => return None,
        };
        if nth == 0 && digit > 7 {
            return None;
        }
        bits = (bits << 5) | u128::from(digit);
    }
    (random.len() == RANDOM_CHARS).then_some(bits)
}

/// How an id is written: as a word, whole, or (with the bit after the shared ones) by what it does not share with its property.
const AS_WORD: u8 = 0;
const WHOLE: u8 = 1;
const SHARED: u8 = 2;

/// Days from one date to another one.
pub(crate) fn days_between(from: Date, to: Date) -> i64 {
    to.duration_since(from).as_hours() / DAY_HOURS
}

fn zigzag(value: i128) -> u128 {
    (value.cast_unsigned() << 1) ^ (value >> 127).cast_unsigned()
}

fn unzigzag(value: u128) -> i128 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// How one key follows from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Common {
    prefix: usize,
    suffix: usize,
    /// Digits between both, where it is nothing else.
    digits: Option<usize>,
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

impl Common {
    /// What two keys begin and end with.
    fn of(before: &str, key: &str) -> Self {
        let same = |(a, b): &(u8, u8)| a == b;
        let (a, b) = (before.as_bytes(), key.as_bytes());
        let mut prefix = a.iter().copied().zip(b.iter().copied()).take_while(same).count();
        while !key.is_char_boundary(prefix) || !before.is_char_boundary(prefix) {
            prefix -= 1;
        }
        let most = a.len().min(b.len()) - prefix;
        let ends = a.iter().rev().copied().zip(b.iter().rev().copied());
        let mut suffix = ends.take(most).take_while(same).count();
        while !key.is_char_boundary(key.len() - suffix) || !before.is_char_boundary(before.len() - suffix) {
            suffix -= 1;
        }
        let middle = key.get(prefix..key.len() - suffix).unwrap_or_default();
        Self { prefix, suffix, digits: middle.bytes().all(is_digit).then_some(middle.len()) }
    }

    /// The digits by which a key differs, where it follows from the one before in the same way as that did.
    fn digits_of<'a>(self, before: &str, key: &'a str) -> Option<&'a str> {
        let digits = self.digits?;
        let same = before.get(..self.prefix)? == key.get(..self.prefix)?;
        let end = key.len().checked_sub(self.suffix)?;
        let ends = before.get(before.len().checked_sub(self.suffix)?..)? == key.get(end..)?;
        let middle = key.get(self.prefix..end)?;
        (same && ends && middle.len() == digits && middle.bytes().all(is_digit)).then_some(middle)
    }
}

/// A document while it is written.
pub(crate) struct Writer<'a> {
    bytes: Vec<u8>,
    home: Option<u128>,
    instants: HashMap<Timestamp, u64>,
    instant: i128,
    words: HashMap<&'a str, u64>,
    day: i64,
    key: &'a str,
    common: Common,
}

impl<'a> Writer<'a> {
    /// A document of something of this property.
    pub(crate) fn new(version: u8, property: &'a PropertyId) -> Self {
        let home = bits_of(property.as_str()).map(|bits| bits & HOME);
        Self { home, ..Self::of_no_property(version) }
    }

    /// A document in which no id stands.
    pub(crate) fn of_no_property(version: u8) -> Self {
        Self {
            bytes: vec![version],
            home: None,
            instants: HashMap::new(),
            instant: 0,
            words: HashMap::new(),
            day: 0,
            key: "",
            common: Common::default(),
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn wide(&mut self, mut value: u128) {
        while value > 0x7f {
            self.bytes.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
            value >>= 7;
        }
        self.bytes.push(u8::try_from(value).unwrap_or_default());
    }

    pub(crate) fn number(&mut self, value: u64) {
        self.wide(value.into());
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.wide(u64::try_from(value).unwrap_or(u64::MAX).into());
    }

    pub(crate) fn signed(&mut self, value: i128) {
        self.wide(zigzag(value));
    }

    pub(crate) fn day(&mut self, date: Date) {
        let day = days_between(EPOCH, date);
        self.signed((day - self.day).into());
        self.day = day;
    }

    pub(crate) fn instant(&mut self, at: Timestamp) {
        if let Some(place) = self.instants.get(&at) {
            return self.number(*place);
        }
        self.number(0);
        let nanosecond = at.as_nanosecond();
        self.signed(nanosecond - self.instant);
        self.instant = nanosecond;
        self.instants.insert(at, u64::try_from(self.instants.len()).unwrap_or(u64::MAX) + 1);
    }

    fn plain(&mut self, text: &str) {
        self.count(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// What is likely to come again.
    pub(crate) fn word(&mut self, text: &'a str) {
        if let Some(place) = self.words.get(text) {
            return self.number(*place);
        }
        self.number(0);
        self.plain(text);
        self.words.insert(text, u64::try_from(self.words.len()).unwrap_or(u64::MAX) + 1);
    }

    fn digits(&mut self, digits: &str) {
        let value = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 };
        for pair in digits.as_bytes().chunks(2) {
            let [first, second] = [pair.first(), pair.get(1)].map(|byte| byte.map_or(0, |byte| value(*byte)));
            self.bytes.push((first << 4) | second);
        }
    }

    /// What is not likely to come again; hexadecimal digits, as digests are told by, take half.
    pub(crate) fn text(&mut self, text: &str) {
        let digits = text.bytes().all(is_digit);
        self.count((text.len() << 1) | usize::from(digits));
        if digits { self.digits(text) } else { self.bytes.extend_from_slice(text.as_bytes()) }
    }

    /// A text that looks like the one that was written so before it, as the UIDs of one feed do.
    pub(crate) fn key(&mut self, key: &'a str) {
        if let Some(digits) = self.common.digits_of(self.key, key) {
            self.byte(0);
            self.digits(digits);
        } else {
            let common = Common::of(self.key, key);
            self.byte(1);
            self.count(common.prefix);
            self.count(common.suffix);
            self.text(key.get(common.prefix..key.len() - common.suffix).unwrap_or_default());
            self.common = common;
        }
        self.key = key;
    }

    /// How the id is to be written, to stand among other flags.
    pub(crate) fn form_of(&self, id: &impl Id) -> u8 {
        match bits_of(id.text()) {
            None => AS_WORD,
            Some(bits) if self.home == Some(bits & HOME) => SHARED | u8::try_from((bits >> 64) & 1).unwrap_or_default(),
            Some(_) => WHOLE,
        }
    }

    pub(crate) fn id_in(&mut self, form: u8, id: &'a impl Id) {
        match (form, bits_of(id.text())) {
            (WHOLE, Some(bits)) => self.bytes.extend_from_slice(&bits.to_be_bytes()),
            (SHARED.., Some(bits)) => {
                let rest = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
                self.bytes.extend_from_slice(&rest.to_be_bytes());
            }
            _ => self.word(id.text()),
        }
    }

    pub(crate) fn id(&mut self, id: &'a impl Id) {
        let form = self.form_of(id);
        self.byte(form);
        self.id_in(form, id);
    }
}

/// A document while it is read.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    home: Option<u128>,
    instants: Vec<Timestamp>,
    instant: i128,
    words: Vec<&'a str>,
    day: i64,
    key: String,
    common: Common,
    room: usize,
}

impl<'a> Reader<'a> {
    /// What follows the version of a document of something of this property.
    pub(crate) fn new(bytes: &'a [u8], property: &'a PropertyId) -> Self {
        let home = bits_of(property.as_str()).map(|bits| bits & HOME);
        Self { home, ..Self::of_no_property(bytes) }
    }

    /// What follows the version of a document in which no id stands.
    pub(crate) fn of_no_property(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            home: None,
            instants: Vec::new(),
            instant: 0,
            words: Vec::new(),
            day: 0,
            key: String::new(),
            common: Common::default(),
            room: ROOM,
        }
    }

    /// All that was not read.
    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    /// Nothing is left over.
    pub(crate) fn end(&self) -> Option<()> {
        self.bytes.is_empty().then_some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let [byte] = self.array()?;
        Some(byte)
    }

    /// A byte in which no other bits than these are known.
    pub(crate) fn flags(&mut self, known: u8) -> Option<u8> {
        self.byte().filter(|flags| flags & !known == 0)
    }

    fn wide(&mut self) -> Option<u128> {
        let mut value: u128 = 0;
        for shift in (0..126).step_by(7) {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn number<T: TryFrom<u128>>(&mut self) -> Option<T> {
        self.wide()?.try_into().ok()
    }

    /// How many follow, each of which takes a byte at least.
    pub(crate) fn count(&mut self) -> Option<usize> {
        self.number().filter(|count| *count <= self.bytes.len())
    }

    pub(crate) fn signed(&mut self) -> Option<i128> {
        self.wide().map(unzigzag)
    }

    pub(crate) fn day(&mut self) -> Option<Date> {
        let by = i64::try_from(self.signed()?).ok()?;
        self.day = self.day.checked_add(by)?;
        later(EPOCH, self.day)
    }

    pub(crate) fn instant(&mut self) -> Option<Timestamp> {
        match self.number::<usize>()?.checked_sub(1) {
            Some(place) => self.instants.get(place).copied(),
            None => {
                self.instant = self.instant.checked_add(self.signed()?)?;
                let at = Timestamp::from_nanosecond(self.instant).ok()?;
                self.instants.push(at);
                Some(at)
            }
        }
    }

    /// An instant, where there is one.
    pub(crate) fn instant_if(&mut self, there: bool) -> Option<Option<Timestamp>> {
        if there { self.instant().map(Some) } else { Some(None) }
    }

    fn spend(&mut self, text: usize) -> Option<()> {
        self.room = self.room.checked_sub(text)?;
        Some(())
    }

    /// What the thing before it says too.
    pub(crate) fn again(&mut self, text: &str) -> Option<String> {
        self.spend(text.len())?;
        Some(text.to_owned())
    }

    pub(crate) fn word(&mut self) -> Option<&'a str> {
        let word = match self.number::<usize>()?.checked_sub(1) {
            Some(place) => self.words.get(place).copied()?,
            None => {
                let count = self.count()?;
                let word = std::str::from_utf8(self.take(count)?).ok()?;
                self.words.push(word);
                word
            }
        };
        self.spend(word.len())?;
        Some(word)
    }

    fn digits(&mut self, count: usize) -> Option<String> {
        let packed = self.take(count.div_ceil(2))?;
        let mut digits = hex::encode(packed);
        // What is written after the last digit of an odd number is nothing.
        if digits.len() > count && digits.pop()? != '0' {
            return None;
        }
        Some(digits)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        let head = self.number::<usize>()?;
        let count = head >> 1;
        self.spend(count)?;
        if head & 1 == 1 {
            return self.digits(count);
        }
        std::str::from_utf8(self.take(count)?).ok().map(str::to_owned)
    }

    pub(crate) fn key(&mut self) -> Option<String> {
        let middle = match self.byte()? {
            0 => self.digits(self.common.digits?)?,
            1 => {
                let (prefix, suffix) = (self.number::<usize>()?, self.number::<usize>()?);
                let middle = self.text()?;
                self.common = Common { prefix, suffix, digits: middle.bytes().all(is_digit).then_some(middle.len()) };
                middle
            }
            _ => return None,
        };
        let Common { prefix, suffix, .. } = self.common;
        let end = self.key.len().checked_sub(suffix)?;
        let key = [self.key.get(..prefix)?, &middle, self.key.get(end..)?].concat();
        self.spend(key.len())?;
        self.key.clone_from(&key);
        Some(key)
    }

    pub(crate) fn id_in<T: Id>(&mut self, form: u8) -> Option<T> {
        match form {
            AS_WORD => self.word()?.parse().ok(),
            WHOLE => Some(T::of_bits(u128::from_be_bytes(self.array()?))),
            form => {
                let rest = u128::from(u64::from_be_bytes(self.array()?));
                Some(T::of_bits(self.home? | (u128::from(form & 1) << 64) | rest))
            }
        }
    }

    pub(crate) fn id<T: Id>(&mut self) -> Option<T> {
        let form = self.byte().filter(|form| *form <= SHARED | 1)?;
        self.id_in(form)
    }
}

/// So many days after a date.
pub(crate) fn later(date: Date, days: i64) -> Option<Date> {
    date.checked_add(SignedDuration::try_from_hours(days.checked_mul(DAY_HOURS)?)?).ok()
}

const IDS: &str = "a list of ids";
const IDS_VERSION: u8 = 1;

/// A list of ids as a document.
pub(crate) fn ids<T: Id>(property: &PropertyId, ids: &[T]) -> Vec<u8> {
    let mut to = Writer::new(IDS_VERSION, property);
    to.count(ids.len());
    for id in ids {
        to.id(id);
    }
    to.into_bytes()
}

pub(crate) fn read_ids<T: Id>(bytes: &[u8], property: &PropertyId) -> Result<Vec<T>, StoreError> {
    let mut from = Reader::new(of_version(bytes, IDS_VERSION, IDS)?, property);
    let mut read = || {
        let count = from.count()?;
        let ids: Option<Vec<T>> = (0..count).map(|_| from.id()).collect();
        from.end().and(ids)
    };
    read().ok_or_else(|| unreadable(IDS))
}
