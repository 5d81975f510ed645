//! Every record survives being written and read.

use std::{collections::BTreeSet, fmt::Debug};

use calmesh_app::{
    Span,
    contract::{
        a_block, a_conflict, a_connection, a_hold, a_link, a_plan, a_property, a_token, account_id, an_account, at,
        block_id, connection_id, hold_id, link_id, link_token, nights, property_id, refresh_id, some_claims,
    },
    model::{
        ActivityKind, Connection, Detail, Direction, FailureKind, Format, LinkScope, LinkToken, NamedStay, Names,
        Property, RefreshScope, RetiringServes, Scope, Site, Snapshot, Status, StayPart, StoppedExport,
    },
};
use calmesh_calendar::{
    Asked, Block, BlockKind, Claim, ClaimRule, Conflict, ConnectionClaims, ConnectionId, EventKey, Extent, FeedOrigin,
    Finding, Habits, Hold, HoldCause, HoldEnd, LinkNight, LostStay, Nights, Origin, Part, Runs, Sign, Standing, Times,
};
use jiff::{
    SignedDuration, Timestamp,
    civil::{self, Time},
};
use proptest::prelude::*;

use super::{connection::Parts, *};
use crate::tests::forms::a_rich_connection;

#[track_caller]
fn survives<T: Document + PartialEq + Debug>(record: &T) {
    let text = record.encode().unwrap();
    assert!(text.starts_with(r#"{"v":1,"is":"#), "{text}");
    assert_eq!(T::decode(&text).unwrap(), *record);
}

#[track_caller]
fn survives_on_a_page(block: &Block) {
    let bytes = block::encode(&property_id(1), &[block]);
    let read = block::decode(&bytes, &property_id(1), block.connection()).unwrap();
    assert_eq!(read, std::slice::from_ref(block));
}

#[track_caller]
fn survives_whole(connection: &Connection) {
    let stays: Vec<Block> = (1..4).map(|n| a_block(1, n)).collect();
    let (stays, some) = (stays.iter().collect::<Vec<_>>(), some_claims(1));
    let claims = some.connections.values().next();
    let all = [
        Parts { settings: Some(connection), ..Parts::default() },
        Parts { settings: Some(connection), stays: Some(&stays), claims },
        Parts { stays: Some(&stays), ..Parts::default() },
        Parts { claims, ..Parts::default() },
    ];
    for parts in all {
        let bytes = connection::encode(&connection.property, &parts).unwrap();
        let read = connection::decode(&bytes, &connection.property, &connection_id(1)).unwrap();
        assert_eq!(read.settings.as_ref(), parts.settings);
        assert_eq!(read.stays, parts.stays.map(|stays| stays.iter().copied().cloned().collect::<Vec<_>>()));
        assert_eq!(read.claims.as_ref(), parts.claims);
    }
}

#[track_caller]
fn survives_as_claims(mine: &ConnectionClaims) {
    let bytes = claims::encode(&property_id(1), mine);
    assert_eq!(claims::decode(&bytes, &property_id(1)).unwrap(), *mine);
}

fn an_activity(connection: Option<ConnectionId>, kind: ActivityKind) -> Activity {
    let site = Some(Site { name: "Airbnb, whole flat".to_owned(), provider: "airbnb".into() });
    let stay = |part, site: Option<Site>, span| NamedStay { block: block_id(1), part, site, span, before: None };
    let nights = |part| stay(part, site.clone(), Span::Nights(civil::date(2026, 12, 4), civil::date(2026, 12, 7)));
    let hours = Span::Local(civil::date(2026, 12, 7).at(11, 0, 0, 0), civil::date(2026, 12, 7).at(14, 30, 1, 0));
    let mut stays: Vec<NamedStay> =
        [StayPart::Itself, StayPart::New, StayPart::Changed, StayPart::Gone].map(nights).into();
    stays.push(stay(StayPart::Itself, None, hours));
    stays.push(NamedStay { before: Some(hours), ..nights(StayPart::Changed) });
    let names = Names { property: Some("Casa".to_owned()), site, stays };
    Activity { property: property_id(1), at: at(1), connection, kind, names }
}

#[test]
fn accounts_and_tokens_survive() {
    for default_detail in [Detail::Busy, Detail::Label, Detail::Full] {
        survives(&Account { default_detail, deleted_at: Some(at(3)), ..an_account(1) });
    }
    survives(&a_token(1, 2));
    let properties = Some([property_id(1), property_id(2)].into());
    survives(&Token { scope: Scope::Read, properties, expires_at: Some(at(9)), ..a_token(1, 2) });
    survives(&Token { properties: Some(BTreeSet::new()), ..a_token(1, 2) });
}

#[test]
fn properties_survive_but_for_what_is_an_attribute() {
    let again = |property: &Property| property::decode(&property::encode(property), &property.id).unwrap();
    let kept = Property { revision: 0, dirty: None, deleted_at: Some(at(9)), ..a_property(1, 1) };
    let more = Property { revision: 7, wake_at: Some(at(1)), ..kept.clone() };
    assert_eq!(again(&more), kept);
    let odd = Property {
        check_in: civil::time(23, 59, 59, 999_999_999),
        check_out: Time::midnight(),
        created_at: at(0) + SignedDuration::from_nanos(1),
        revised_at: Some(Timestamp::MIN),
        deleted_at: None,
        reading: vec![connection_id(1), connection_id(2)],
        turnover_nights: u8::MAX,
        version: u64::MAX,
        ..kept
    };
    assert_eq!(again(&odd), odd);
}

#[test]
fn connections_survive() {
    let connection = a_rich_connection(&a_property(1, 1));
    survives_whole(&a_connection(&a_property(1, 1), 1));
    survives_whole(&connection);
    // A later version may know more providers; one that does not keeps them.
    survives_whole(&Connection { provider: "of_a_later_version".into(), ..connection.clone() });
    for until in [None, Some(at(7))] {
        survives_whole(&Connection { status: Status::Paused { until }, ..connection.clone() });
    }
    survives_whole(&Connection { direction: Direction::Import, export: None, ..connection.clone() });
    survives_whole(&Connection { direction: Direction::Export, import: None, ..connection });
}

#[test]
fn blocks_and_holds_survive() {
    let block = a_block(1, 1);
    for kind in [BlockKind::Reservation, BlockKind::Closure, BlockKind::Tentative, BlockKind::RuleClosure] {
        survives_on_a_page(&Block { kind, ..block.clone() });
    }
    for extends in [None, Some(block_id(2))] {
        survives_on_a_page(&Block { origin: Origin::Own { extends, lost: None }, ..block.clone() });
    }
    for connection in [None, Some(connection_id(1))] {
        let site = connection.is_some().then(|| ("Airbnb, whole flat".to_owned(), "airbnb".to_owned()));
        let lost = Some(LostStay { stay: block_id(3), connection, site, extent: block.extent });
        survives_on_a_page(&Block { origin: Origin::Own { extends: None, lost }, ..block.clone() });
    }
    for cause in [HoldCause::Absent, HoldCause::MassVanish] {
        let hold = Hold { cause, group: Some(hold_id(3)), kept: true, ..a_hold(1) };
        let Origin::Feed(feed) = block.origin.clone() else { panic!("a feed's block") };
        let key = Some(EventKey { uid: "u".to_owned(), occurrence: Some("20310101".to_owned()) });
        let origin = FeedOrigin { key, code: Some("HM1".to_owned()), hold: Some(hold.clone()), ..feed.clone() };
        survives_on_a_page(&Block { origin: Origin::Feed(origin), ..block.clone() });
        for sign in [Sign::None, Sign::Reservation, Sign::Ours] {
            let origin = FeedOrigin { key: None, sign, ..feed.clone() };
            survives_on_a_page(&Block { origin: Origin::Feed(origin), ..block.clone() });
        }
        for end in [HoldEnd::Released, HoldEnd::Confirmed, HoldEnd::Returned] {
            let nights = Nights::new(civil::date(2031, 2, 3), civil::date(2031, 2, 5)).ok();
            let closed = ClosedHold {
                hold: hold.clone(),
                end,
                closed_at: at(9),
                property: property_id(1),
                block: block_id(1),
                connection: connection_id(1),
                nights,
            };
            survives(&closed);
            survives(&ClosedHold { nights: None, ..closed });
        }
    }
}

#[test]
fn claims_and_conflicts_survive() {
    for mine in some_claims(1).connections.values() {
        survives_as_claims(mine);
    }
    survives_as_claims(&ConnectionClaims::default());
    let odd = [None, Some(SignedDuration::new(-5, -999_999_999)), Some(SignedDuration::MAX), Some(SignedDuration::MIN)];
    for [settle, wait, memory] in [[odd[0], odd[1], odd[2]], [odd[3], odd[0], odd[1]]] {
        survives_as_claims(&ConnectionClaims {
            habits: Habits { settle, wait, memory },
            ..ConnectionClaims::default()
        });
    }
    let rules = [
        ClaimRule::OurTag,
        ClaimRule::ReservationMark,
        ClaimRule::NeverEchoes,
        ClaimRule::BackAfterClean,
        ClaimRule::NewAfterClean,
        ClaimRule::NotFromUs,
        ClaimRule::MayBeOurs,
        ClaimRule::StoodAfterRead,
        ClaimRule::StoodUnread,
        ClaimRule::CertainElsewhere,
        ClaimRule::SaidGone,
    ];
    let mut findings =
        vec![Finding::Asked, Finding::Clean, Finding::EchoEnded, Finding::TakenBack, Finding::SeemsNotToRead];
    for standing in [Standing::Echo, Standing::Possible, Standing::Certain] {
        findings.extend(rules.map(|rule| Finding::Judged(standing, rule)));
    }
    for finding in findings {
        let kind = ActivityKind::ClaimsDecided { finding, nights: vec![nights(0, 2), nights(4, 5)] };
        survives(&an_activity(Some(connection_id(1)), kind));
    }
    let conflict = a_conflict(1);
    let gone = Conflict { gone: [block_id(1)].into(), settled: true, nights: None, ..conflict.clone() };
    let both = [&conflict, &gone];
    let read = conflict::decode(&conflict::encode(&property_id(1), &both), &property_id(1)).unwrap();
    assert!(read.iter().eq(both));
    for closed_at in [None, Some(at(9))] {
        survives(&ConflictRecord { property: property_id(1), conflict: gone.clone(), closed_at });
    }
    let kinds = [
        ActivityKind::ConflictOpened {
            conflict: conflict.id.clone(),
            blocks: conflict.blocks.clone(),
            first: conflict.first.clone(),
            arrives_at: at(3),
            nights: conflict.nights.into_iter().flat_map(Nights::iter).collect(),
        },
        ActivityKind::ConflictResolved { conflict: conflict.id.clone(), gone: block_id(1) },
        ActivityKind::ConflictClosed {
            conflict: conflict.id.clone(),
            blocks: conflict.blocks.clone(),
            gone: vec![block_id(1)],
        },
        ActivityKind::ConflictClosed { conflict: conflict.id, blocks: conflict.blocks, gone: Vec::new() },
    ];
    for kind in kinds {
        survives(&an_activity(None, kind));
    }
}

#[test]
fn links_survive() {
    survives(&RetiringLink {
        token: LinkToken::from_random([9; 32]),
        serves: RetiringServes::Stopped {
            connection: connection_id(1),
            provider: "vrbo".into(),
            was: Some(StoppedExport { detail: Detail::Full, format: Format::Times, recorded_since: Some(at(3)) }),
        },
        until: at(5),
    });
    survives(&RetiringLink {
        token: link_token(1),
        serves: RetiringServes::Empty { provider: "vrbo".into() },
        until: at(1),
    });
    survives(&RetiringLink {
        token: link_token(1),
        serves: RetiringServes::Current { connection: connection_id(1) },
        until: at(1),
    });
    let link = ExtraLink { revision: 0, dirty: None, ..a_link(1, 1) };
    survives(&link);
    survives(&ExtraLink { scope: LinkScope::Properties([property_id(1)].into()), ..link });
    survives(&LinkOwner::Link { account: account_id(1), link: link_id(1) });
    survives(&LinkOwner::Connection { account: account_id(1), property: property_id(1), connection: connection_id(1) });
}

#[test]
fn activity_survives() {
    let (hold, block) = (hold_id(1), block_id(1));
    let name = || "Casa".to_owned();
    let mut kinds = vec![
        ActivityKind::PropertyCreated,
        ActivityKind::PropertyChanged,
        ActivityKind::ConnectionCreated { name: name() },
        ActivityKind::ConnectionChanged { name: name() },
        ActivityKind::ConnectionDeleted { name: name() },
        ActivityKind::ConnectionPaused { name: name() },
        ActivityKind::ConnectionResumed { name: name() },
        ActivityKind::LinkRotated { name: name() },
        ActivityKind::FeedChanged { added: 1, changed: 2, removed: 3, held: 4 },
        ActivityKind::FeedRecovered,
        ActivityKind::HoldOpened { hold: hold.clone(), block: block.clone() },
        ActivityKind::MassVanished {
            hold: hold.clone(),
            stays: 2,
            nights: 3,
            first_nights: vec![jiff::civil::date(2026, 12, 4)],
        },
        ActivityKind::HoldReleased { hold: hold.clone(), block: block.clone() },
        ActivityKind::HoldKept { hold: hold.clone(), block: block.clone() },
        ActivityKind::HoldConfirmed { hold: hold.clone(), block: block.clone() },
        ActivityKind::HoldReturned { hold, block: block.clone() },
        ActivityKind::BlockCreated { block: block.clone() },
        ActivityKind::BlockChanged { block: block.clone() },
        ActivityKind::BlockDeleted { block: block.clone() },
        ActivityKind::ExtensionOrphaned { block: block.clone(), stay: block_id(2) },
        ActivityKind::ExtensionLeft { block, stay: block_id(2) },
    ];
    kinds.extend(FailureKind::ALL.map(|failure| ActivityKind::FeedFailed { failure, detail: "No.".to_owned() }));
    for kind in kinds {
        survives(&an_activity(Some(connection_id(1)), kind));
    }
}

#[test]
fn fetch_states_survive() {
    let plan = a_plan(&a_property(1, 1), 1);
    survives(&plan);
    let validators = Validators { etag: Some("e".to_owned()), last_modified: None };
    let applied = Some(Snapshot("abc".to_owned()));
    survives(&FetchPlan {
        applied,
        validators,
        applied_read_at: Some(at(3)),
        applied_by: Some(7),
        pending: true,
        ..plan
    });
    for kind in FailureKind::ALL {
        let detail = "Try again.".to_owned();
        survives(&Failure { kind, detail, since: at(1), count: 3, last_attempt_at: at(2), retry_at: at(3) });
    }
}

#[test]
fn refreshes_survive() {
    let scopes = [
        RefreshScope::Account,
        RefreshScope::Property(property_id(1)),
        RefreshScope::Connection { property: property_id(1), connection: connection_id(1) },
    ];
    for scope in scopes {
        survives(&Refresh { id: refresh_id(1), account: account_id(1), scope, requested_at: at(1), spread: false });
    }
    survives(&Outcome::Pending);
    survives(&Outcome::Unchanged { blocks_held: 1 });
    survives(&Outcome::Changed { blocks_added: 1, blocks_removed: 2, blocks_held: 3 });
    survives(&Outcome::Failed { reason: "gave_up".to_owned() });
}

#[test]
fn what_cannot_be_read_is_told_without_being_quoted() {
    let error = Outcome::decode(r#"{"v":1,"is":{"secret":1}}"#).unwrap_err().to_string();
    assert!(error.contains("an outcome") && !error.contains("secret"), "{error}");
    let error = Outcome::decode(r#"{"v":2,"is":{"something":"else"}}"#).unwrap_err().to_string();
    assert!(error.contains("version 2"), "{error}");
}

proptest! {
    #[test]
    fn any_instants_and_nights_survive_in_claims(
        runs in proptest::collection::vec((-5_000i64..5_000, 1i64..9, any::<[i64; 4]>(), any::<bool>()), 0..9),
        earliest in any::<bool>(),
    ) {
        let instant = |nanoseconds: i64| match earliest && nanoseconds % 3 == 0 {
            true => Timestamp::MIN,
            false => Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap(),
        };
        let option = |nanoseconds: i64| (nanoseconds % 2 == 0).then(|| instant(nanoseconds));
        let run = |first: i64, count: i64| nights(first, first + count);
        let share = ConnectionClaims {
            claims: Runs::of(runs.iter().map(|(first, count, [a, ..], _)| {
                let claim = Claim { standing: Standing::Possible, rule: ClaimRule::MayBeOurs, since: instant(*a) };
                (run(*first, *count), claim)
            })),
            parts: Runs::of(runs.iter().map(|(first, count, [a, b, c, d], silent)| {
                let asked = Asked { since: instant(*a), read_at: option(*b), readings: 3, heard_at: instant(*d) };
                let asked = option(*c).map(|_| asked);
                let part = Part { asked, clean_since: option(*d), cleaned_at: option(*b), silent: *silent };
                (run(*first, *count), part)
            })),
            link: Runs::of(runs.iter().map(|(first, count, [a, b, c, _], carries)| {
                let (since, put_at, first_at) = (instant(*c), option(*a), instant(*b));
                (run(*first, *count), LinkNight { carries: *carries, since, put_at, first: first_at })
            })),
            ..ConnectionClaims::default()
        };
        let bytes = claims::encode(&property_id(1), &share);
        prop_assert_eq!(claims::decode(&bytes, &property_id(1)).unwrap(), share);
    }

    #[test]
    fn any_words_and_times_survive_in_a_block(
        summary in any::<String>(), uid in any::<String>(), code in any::<Option<String>>(),
        start in -1_000_000_000_000_000_000i64..4_000_000_000_000_000_000, length in 1i64..1_000_000_000_000_000_000,
    ) {
        let instant = |nanoseconds: i64| Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap();
        let times = Times::new(instant(start), instant(start + length)).unwrap();
        let mut block = Block { summary, extent: Extent::Times(times), ..a_block(1, 1) };
        if let Origin::Feed(feed) = &mut block.origin {
            feed.key = Some(EventKey { uid, occurrence: None });
            feed.code = code;
        }
        let before = a_block(1, 2);
        let bytes = block::encode(&property_id(1), &[&before, &block, &before]);
        let read = block::decode(&bytes, &property_id(1), block.connection()).unwrap();
        prop_assert_eq!(read, [before.clone(), block, before]);
    }
}
