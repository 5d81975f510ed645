//! A page of blocks as a document: stays of one connection, or blocks of the host's own. Whose they are says the item's
//! key. A block is a short map, in which what is usual is left out. Instants are to the nanosecond, as clocks give them,
//! and the stays of one reading have the same ones: each stands once in a list, and so do rules and summaries. What all
//! ids begin with stands once too.

use calmesh_app::ports::StoreError;
use calmesh_calendar::{
    Block, BlockId, BlockKind, ConnectionId, EventKey, Extent, FeedOrigin, Hold, HoldId, LostStay, Nights, Origin, Sign,
};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{
    BlockKindDoc, HoldCauseDoc, SignDoc, VERSION, extent, is_default,
    list::{List, Place},
    lost_option, text_option, unreadable,
};

const WHAT: &str = "a page of blocks";

#[derive(Serialize, Deserialize)]
struct Page {
    v: u8,
    /// Nanoseconds since 1970, in the order in which the blocks name them first.
    at: Vec<i128>,
    /// Rules of profiles and summaries, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    words: Vec<String>,
    /// What the ids of all blocks begin with.
    p: String,
    is: Vec<Short>,
}

#[derive(Serialize, Deserialize)]
struct Short {
    /// The rest of the id.
    i: String,
    #[serde(with = "BlockKindDoc", default = "usual", skip_serializing_if = "is_usual")]
    k: BlockKind,
    x: ShortExtent,
    /// The summary, where it says anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s: Option<Place>,
    /// How often it was changed.
    #[serde(default, skip_serializing_if = "is_default")]
    n: u32,
    /// First seen.
    f: Place,
    /// Changed, where that was later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<Place>,
    /// What an own block extends.
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    e: Option<BlockId>,
    /// What it extended, which is gone.
    #[serde(with = "lost_option", default, skip_serializing_if = "Option::is_none")]
    l: Option<LostStay>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    u: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    o: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<String>,
    /// The rule, of a stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r: Option<Place>,
    #[serde(with = "SignDoc", default, skip_serializing_if = "is_default")]
    g: Sign,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    h: Option<ShortHold>,
}

fn usual() -> BlockKind {
    BlockKind::Reservation
}

fn is_usual(kind: &BlockKind) -> bool {
    *kind == usual()
}

/// Nights as days since 1970 and a count, exact times as two instants.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ShortExtent {
    Nights(i32, u32),
    Times(#[serde(with = "extent")] Extent),
}

#[derive(Serialize, Deserialize)]
struct ShortHold {
    i: String,
    #[serde(with = "HoldCauseDoc")]
    c: calmesh_calendar::HoldCause,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    g: Option<HoldId>,
    /// Opened.
    o: Place,
    n: u32,
    /// The earliest release.
    e: Place,
    #[serde(default, skip_serializing_if = "is_default")]
    k: bool,
}

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

fn shorten(extent: &Extent) -> ShortExtent {
    match extent {
        Extent::Nights(nights) => match nights.first().since((jiff::Unit::Day, EPOCH)) {
            Ok(days) => ShortExtent::Nights(days.get_days(), nights.count()),
            Err(_) => ShortExtent::Times(*extent),
        },
        Extent::Times(_) => ShortExtent::Times(*extent),
    }
}

fn lengthen(short: ShortExtent) -> Option<Extent> {
    let (first, count) = match short {
        ShortExtent::Times(extent) => return Some(extent),
        ShortExtent::Nights(first, count) => (first, count),
    };
    let later = |from: Date, days: i64| from.checked_add(jiff::Span::new().try_days(days).ok()?).ok();
    let first = later(EPOCH, first.into())?;
    Some(Extent::Nights(Nights::new(first, later(first, count.into())?).ok()?))
}

fn id_part(id: &str, prefix: &str) -> String {
    id.strip_prefix(prefix).unwrap_or(id).to_owned()
}

/// What all of these begin with.
pub(crate) fn common_beginning<'a>(ids: impl IntoIterator<Item = &'a str>) -> &'a str {
    let mut ids = ids.into_iter();
    let first = ids.next().unwrap_or_default();
    ids.fold(first, |common, id| {
        let same = common.char_indices().zip(id.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
        common.get(..same.unwrap_or(common.len().min(id.len()))).unwrap_or_default()
    })
}

/// The page of these blocks, all of one source.
pub(crate) fn encode(blocks: &[&Block]) -> Result<String, StoreError> {
    let (mut at, mut words) = (List::<Timestamp>::new(), List::<String>::new());
    let beginning = common_beginning(blocks.iter().map(|block| block.id.as_str()));
    let mut is = Vec::with_capacity(blocks.len());
    for block in blocks {
        let mut short = Short {
            i: id_part(block.id.as_str(), beginning),
            k: block.kind,
            x: shorten(&block.extent),
            s: (!block.summary.is_empty()).then(|| words.place(&block.summary)),
            n: block.sequence,
            f: at.place(&block.first_seen_at),
            c: (block.changed_at != block.first_seen_at).then(|| at.place(&block.changed_at)),
            e: None,
            l: None,
            u: None,
            o: None,
            d: None,
            r: None,
            g: Sign::None,
            h: None,
        };
        match &block.origin {
            Origin::Own { extends, lost } => {
                short.e.clone_from(extends);
                short.l.clone_from(lost);
            }
            Origin::Feed(FeedOrigin { connection: _, key, code, rule, sign, hold }) => {
                short.u = key.as_ref().map(|key| key.uid.clone());
                short.o = key.as_ref().and_then(|key| key.occurrence.clone());
                short.d.clone_from(code);
                short.r = Some(words.place(rule));
                short.g = *sign;
                short.h = hold.as_ref().map(|hold| ShortHold {
                    i: id_part(hold.id.as_str(), HoldId::PREFIX),
                    c: hold.cause,
                    g: hold.group.clone(),
                    o: at.place(&hold.opened_at),
                    n: hold.readings,
                    e: at.place(&hold.earliest_release_at),
                    k: hold.kept,
                });
            }
        }
        is.push(short);
    }
    let at = at.into_values().into_iter().map(Timestamp::as_nanosecond).collect();
    let p = beginning.to_owned();
    serde_json::to_string(&Page { v: VERSION, at, words: words.into_values(), p, is })
        .map_err(|_| StoreError::Corrupt { what: format!("{WHAT} can't be written") })
}

/// The blocks of a page: of this connection, or the host's own.
pub(crate) fn decode(text: &str, connection: Option<&ConnectionId>) -> Result<Vec<Block>, StoreError> {
    let page: Page = serde_json::from_str(text).map_err(|error| unreadable(WHAT, text, &error))?;
    if page.v != VERSION {
        return Err(StoreError::Corrupt { what: format!("{WHAT}: version {} is not known here", page.v) });
    }
    let at: Option<Vec<Timestamp>> = page.at.iter().map(|at| Timestamp::from_nanosecond(*at).ok()).collect();
    let blocks = at.and_then(|at| {
        let whole = |short| whole(short, &at, &page.words, &page.p, connection);
        page.is.into_iter().map(whole).collect::<Option<Vec<_>>>()
    });
    blocks.ok_or_else(|| StoreError::Corrupt { what: format!("{WHAT}: a block is not of the expected form") })
}

fn whole(
    short: Short,
    at: &[Timestamp],
    words: &[String],
    beginning: &str,
    connection: Option<&ConnectionId>,
) -> Option<Block> {
    let first_seen_at = *at.get(short.f)?;
    let changed_at = match short.c {
        Some(place) => *at.get(place)?,
        None => first_seen_at,
    };
    let origin = match connection {
        None => Origin::Own { extends: short.e, lost: short.l },
        Some(connection) => Origin::Feed(FeedOrigin {
            connection: connection.clone(),
            key: short.u.map(|uid| EventKey { uid, occurrence: short.o }),
            code: short.d,
            rule: words.get(short.r?)?.clone(),
            sign: short.g,
            hold: match short.h {
                None => None,
                Some(hold) => Some(Hold {
                    id: format!("{}{}", HoldId::PREFIX, hold.i).parse().ok()?,
                    cause: hold.c,
                    group: hold.g,
                    opened_at: *at.get(hold.o)?,
                    readings: hold.n,
                    earliest_release_at: *at.get(hold.e)?,
                    kept: hold.k,
                }),
            },
        }),
    };
    Some(Block {
        id: format!("{beginning}{}", short.i).parse().ok()?,
        origin,
        kind: short.k,
        extent: lengthen(short.x)?,
        summary: match short.s {
            Some(place) => words.get(place)?.clone(),
            None => String::new(),
        },
        sequence: short.n,
        first_seen_at,
        changed_at,
    })
}
