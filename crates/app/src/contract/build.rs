//! Dull records for tests: everything follows from a small number.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{
    AccountId, Asked, Block, BlockId, BlockKind, Claim, ClaimRule, Claims, Conflict, ConflictId, ConnectionClaims,
    ConnectionId, EventKey, Extent, FeedOrigin, Habits, Hold, HoldCause, HoldId, LinkId, LinkNight, Nights, Origin,
    Part, PropertyId, RefreshId, Runs, Sign, Standing, TokenId,
};
use jiff::{SignedDuration, Timestamp, civil};

use crate::{
    model::{
        Account, Connection, Detail, Direction, Dirty, ExportSide, ExtraLink, FeedUrl, FetchPlan, Format, ImportSide,
        LinkScope, LinkToken, PolicyOverrides, Property, Scope, SecretHash, Status, Token, Validators,
    },
    ports::PropertyCommit,
};

/// So many seconds after the beginning of 2031, which no test's table takes for long past.
#[must_use]
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::constant(1_925_000_000, 0) + SignedDuration::from_secs(seconds)
}

fn bytes(n: u64) -> [u8; 16] {
    // Mixed, so that ids are in another order than their numbers and fall into many buckets.
    let high = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((u128::from(high) << 64) | u128::from(n)).to_be_bytes()
}

#[must_use]
pub fn account_id(n: u64) -> AccountId {
    AccountId::from_random(bytes(n))
}

#[must_use]
pub fn property_id(n: u64) -> PropertyId {
    PropertyId::from_random(bytes(n))
}

#[must_use]
pub fn connection_id(n: u64) -> ConnectionId {
    ConnectionId::from_random(bytes(n))
}

#[must_use]
pub fn block_id(n: u64) -> BlockId {
    BlockId::from_random(bytes(n))
}

#[must_use]
pub fn hold_id(n: u64) -> HoldId {
    HoldId::from_random(bytes(n))
}

#[must_use]
pub fn link_id(n: u64) -> LinkId {
    LinkId::from_random(bytes(n))
}

#[must_use]
pub fn refresh_id(n: u64) -> RefreshId {
    RefreshId::from_random(bytes(n))
}

#[must_use]
pub fn token_id(n: u64) -> TokenId {
    TokenId::from_random(bytes(n))
}

#[must_use]
pub fn link_token(n: u64) -> LinkToken {
    let [low, high] = [bytes(n), bytes(!n)];
    let mut random = [0; 32];
    for (slot, byte) in random.iter_mut().zip(low.into_iter().chain(high)) {
        *slot = byte;
    }
    LinkToken::from_random(random)
}

#[must_use]
pub fn a_url(n: u64) -> FeedUrl {
    format!("https://calendars.example/{n}.ics?s=secret").parse().unwrap()
}

#[must_use]
pub fn an_account(n: u64) -> Account {
    Account {
        id: account_id(n),
        name: format!("Account {n}"),
        default_detail: Detail::Busy,
        default_label_prefix: "EX-".to_owned(),
        created_at: at(0),
        deleted_at: None,
        links_until: None,
        version: 1,
    }
}

#[must_use]
pub fn a_token(account: u64, n: u64) -> Token {
    Token {
        id: token_id(n),
        account: account_id(account),
        hash: SecretHash::of(&format!("token {n}")),
        name: format!("Token {n}"),
        scope: Scope::Full,
        properties: None,
        expires_at: None,
        created_at: at(0),
    }
}

/// A new property at revision 1, dirty.
#[must_use]
pub fn a_property(account: u64, n: u64) -> Property {
    Property {
        id: property_id(n),
        account: account_id(account),
        name: format!("Property {n}"),
        time_zone: "Europe/Madrid".to_owned(),
        check_in: civil::time(15, 0, 0, 0),
        check_out: civil::time(11, 0, 0, 0),
        turnover_nights: 0,
        label_prefix: "EX-".to_owned(),
        created_at: at(i64::try_from(n).unwrap_or_default()),
        rules_changed_at: at(0),
        version: 1,
        revision: 1,
        revised_at: None,
        reading: Vec::new(),
        dirty: Some(Dirty { since: at(0), attempts: 0, announce_at: at(120) }),
        wake_at: None,
        deleted_at: None,
    }
}

/// An active connection both ways, with link number `n`.
#[must_use]
pub fn a_connection(property: &Property, n: u64) -> Connection {
    Connection {
        id: connection_id(n),
        account: property.account.clone(),
        property: property.id.clone(),
        name: format!("Connection {n}"),
        provider: "generic".into(),
        direction: Direction::Bidirectional,
        status: Status::Active,
        import: Some(ImportSide::new(a_url(n), at(0), PolicyOverrides::default())),
        export: Some(ExportSide {
            token: link_token(n),
            detail: Detail::Busy,
            format: Format::Nights,
            last_changed_at: None,
            paused: false,
            recorded_since: at(0),
        }),
        created_at: at(i64::try_from(n).unwrap_or_default()),
        named_at: at(0),
        version: 1,
    }
}

/// The plan of such a connection.
#[must_use]
pub fn a_plan(property: &Property, n: u64) -> FetchPlan {
    FetchPlan {
        connection: connection_id(n),
        account: property.account.clone(),
        property: property.id.clone(),
        provider: "generic".into(),
        name: Some(format!("Connection {n}")),
        url: a_url(n),
        applied: None,
        validators: Validators::default(),
        validators_at: None,
        applied_read_at: None,
        applied_by: None,
        pending: false,
        since: at(0),
    }
}

/// A stay of one night that connection number `connection` shows.
#[must_use]
pub fn a_block(connection: u64, n: u64) -> Block {
    let first = civil::date(2031, 1, 1).saturating_add(jiff::Span::new().days(i64::try_from(n % 9000).unwrap_or(0)));
    let end = first.saturating_add(jiff::Span::new().days(1));
    Block {
        id: block_id(n),
        origin: Origin::Feed(FeedOrigin {
            connection: connection_id(connection),
            key: Some(EventKey { uid: format!("{n}@calendars.example"), occurrence: None }),
            code: None,
            rule: "opaque".to_owned(),
            sign: Sign::None,
            hold: None,
        }),
        kind: BlockKind::Reservation,
        extent: Extent::Nights(Nights::new(first, end).unwrap()),
        summary: "Reserved".to_owned(),
        sequence: 0,
        first_seen_at: at(0),
        changed_at: at(0),
    }
}

/// The nights from one day of 2031 to another, counted from its first.
#[must_use]
pub fn nights(first: i64, end: i64) -> Nights {
    let day = |n| civil::date(2031, 1, 1).saturating_add(jiff::Span::new().days(n));
    Nights::new(day(first), day(end)).unwrap()
}

/// Claims of two connections with everything in them that there can be.
#[must_use]
pub fn some_claims(connection: u64) -> Claims {
    let claim = |standing, rule| Claim { standing, rule, since: at(1) };
    let asked = Asked { since: at(2), read_at: None, readings: 0, heard_at: at(3) };
    let part = Part { asked: Some(asked), ..Part::default() };
    let read = Asked { read_at: Some(at(5)), readings: 1, ..asked };
    let first = ConnectionClaims {
        claims: Runs::of([
            (nights(0, 3), claim(Standing::Possible, ClaimRule::MayBeOurs)),
            (nights(3, 4), claim(Standing::Echo, ClaimRule::OurTag)),
            (nights(9, 11), claim(Standing::Certain, ClaimRule::StoodUnread)),
        ]),
        parts: Runs::of([(nights(0, 1), part), (nights(1, 2), Part { asked: Some(read), ..part })]),
        link: Runs::of([(nights(0, 2), LinkNight { carries: false, since: at(2), put_at: Some(at(4)), first: at(0) })]),
        habits: Habits::default(),
    };
    let second = ConnectionClaims {
        parts: Runs::of([(
            nights(0, 3),
            Part { clean_since: Some(at(6)), cleaned_at: Some(at(7)), silent: true, ..Part::default() },
        )]),
        link: Runs::of([(nights(5, 6), LinkNight { carries: true, since: at(2), put_at: None, first: at(1) })]),
        habits: Habits {
            settle: Some(SignedDuration::from_mins(90)),
            wait: Some(SignedDuration::from_hours(96)),
            memory: Some(SignedDuration::new(1, 5)),
        },
        ..ConnectionClaims::default()
    };
    Claims { connections: [(connection_id(connection), first), (connection_id(connection + 1), second)].into() }
}

/// A conflict of blocks number `n` and `n + 1`, opened `n` seconds after the beginning.
#[must_use]
pub fn a_conflict(n: u64) -> Conflict {
    let mut blocks = vec![block_id(n), block_id(n + 1)];
    blocks.sort();
    Conflict {
        id: ConflictId::from_random(bytes(n)),
        blocks,
        first: block_id(n),
        more: 0,
        nights: Some(nights(0, 2)),
        arrives_at: at(900),
        opened_at: at(i64::try_from(n).unwrap_or_default()),
        gone: BTreeSet::new(),
        settled: false,
    }
}

#[must_use]
pub fn a_hold(n: u64) -> Hold {
    Hold {
        id: hold_id(n),
        cause: HoldCause::Absent,
        group: None,
        opened_at: at(0),
        readings: 1,
        earliest_release_at: at(1800),
        kept: false,
    }
}

/// A new extra link at revision 1, dirty, with link token number `n`.
#[must_use]
pub fn a_link(account: u64, n: u64) -> ExtraLink {
    ExtraLink {
        id: link_id(n),
        account: account_id(account),
        name: format!("Link {n}"),
        scope: LinkScope::All,
        detail: Detail::Label,
        format: Format::Times,
        token: link_token(n),
        created_at: at(i64::try_from(n).unwrap_or_default()),
        last_changed_at: None,
        version: 1,
        revision: 1,
        dirty: Some(Dirty { since: at(0), attempts: 0, announce_at: at(120) }),
        deleted_at: None,
    }
}

/// A commit of the head alone.
#[must_use]
pub fn nothing_but(property: &Property) -> PropertyCommit {
    PropertyCommit {
        property: property.clone(),
        base: None,
        replaced: None,
        put_connections: Vec::new(),
        remove_connections: Vec::new(),
        put_blocks: Vec::new(),
        remove_blocks: Vec::new(),
        put_retiring: Vec::new(),
        remove_retiring: Vec::new(),
        plans: Vec::new(),
        put_bodies: Vec::new(),
        superseded_bodies: Vec::new(),
        owners: Vec::new(),
        put_feeds: Vec::new(),
        remove_feeds: Vec::new(),
        put_claims: BTreeMap::new(),
        remove_claims: Vec::new(),
        put_conflicts: Vec::new(),
        remove_conflicts: Vec::new(),
        conflict_records: Vec::new(),
        closed_holds: Vec::new(),
        activity: Vec::new(),
    }
}
