//! Previews of both sides: what a preview says is what really opens, as the rendered links show it.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{BlockId, ConnectionId, policy::Value};
use jiff::{ToSpan, civil::Date};
use proptest::prelude::*;

use super::world::*;
use crate::{
    BlockEdit, ConnectionEdit, Edit, Expected, LinkEdit, NewBlock, NewLink, Openings, OwnKind, PropertyEdit, Reach,
    SideEdit, WantedScope, When, model::*, ports::*,
};

const SITES: [&str; 3] = ["a", "b", "c"];

fn day(offset: i16) -> Date {
    "2026-12-01".parse::<Date>().unwrap() + i32::from(offset).days()
}

fn span(from: i16, nights: i16) -> BTreeSet<Date> {
    (from..from + nights).map(day).collect()
}

/// What a site reads behind a link: its nights; 404 leaves it with what it had.
fn nights(world: &World, token: &LinkToken, had: &BTreeSet<Date>) -> BTreeSet<Date> {
    let Some(events) = world.served(token) else { return had.clone() };
    let date = |text: &str| text.parse::<Date>().unwrap();
    let mut nights = BTreeSet::new();
    for event in events {
        let (from, to) = event.split_once('-').unwrap();
        let (mut night, end) = (date(from), date(to));
        while night < end {
            nights.insert(night);
            night = night.tomorrow().unwrap();
        }
    }
    nights
}

/// A property with three sites that read their links, and blocks of the host's own.
struct Scene {
    world: World,
    sites: Vec<(ConnectionId, BTreeSet<Date>)>,
    blocks: Vec<BlockId>,
    link: ExtraLink,
}

impl Scene {
    /// `stays` are (site, first night, nights), `own` (first night, nights), from the first of December on.
    async fn new(stays: &[(usize, i16, i16)], own: &[(i16, i16)]) -> Self {
        let world = World::new().await;
        let mut sites = Vec::new();
        for (at, name) in SITES.into_iter().enumerate() {
            let mine: Vec<_> = stays.iter().filter(|(site, ..)| *site == at).collect();
            let texts: Vec<(String, String, String)> = mine
                .iter()
                .enumerate()
                .map(|(n, (_, from, nights))| {
                    (format!("HM{name}{n}XXXXXX"), day(*from).to_string(), day(from + nights).to_string())
                })
                .collect();
            let feed: Vec<(&str, &str, &str)> =
                texts.iter().map(|(code, from, to)| (code.as_str(), from.as_str(), to.as_str())).collect();
            let id = world.connect(name, "airbnb").await;
            world.serve(name, airbnb(1, &feed));
            sites.push((id, mine.iter().flat_map(|(_, from, nights)| span(*from, *nights)).collect()));
        }
        world.sweep().await;
        let reach = Reach::whole(world.account.clone());
        let mut blocks = Vec::new();
        for (from, nights) in own {
            let new = NewBlock {
                kind: OwnKind::Reservation,
                start: When::Night(day(*from)),
                end: When::Night(day(from + nights)),
                summary: String::new(),
                extends: None,
                force: true,
            };
            blocks.push(world.app.desk.create_block(&reach, &world.property, &new).await.unwrap().block.id);
        }
        let new = NewLink { name: "all".to_owned(), scope: WantedScope::All, detail: None, format: Format::Nights };
        let link = world.app.desk.create_link(&reach, new).await.unwrap().link;
        world.work().await;
        Self { world, sites, blocks, link }
    }

    fn reach(&self) -> Reach {
        Reach::whole(self.world.account.clone())
    }

    async fn token(&self, site: &ConnectionId) -> LinkToken {
        self.world.state().await.connection(site).unwrap().export.clone().unwrap().token
    }

    /// What every site read when everything stood, and what is taken.
    async fn read(&self) -> (BTreeMap<ConnectionId, (LinkToken, BTreeSet<Date>)>, BTreeSet<Date>, BTreeSet<Date>) {
        let mut read = BTreeMap::new();
        for (site, _) in &self.sites {
            let token = self.token(site).await;
            read.insert(site.clone(), (token.clone(), nights(&self.world, &token, &BTreeSet::new())));
        }
        let extra = nights(&self.world, &self.link.token, &BTreeSet::new());
        let taken = self.world.taken().await.iter().map(|night| night.parse().unwrap()).collect();
        (read, extra, taken)
    }

    async fn taken_now(&self) -> BTreeSet<Date> {
        match self.world.store.load(&self.world.property).await.unwrap() {
            None => BTreeSet::new(),
            Some(_) => self.world.taken().await.iter().map(|night| night.parse().unwrap()).collect(),
        }
    }
}

/// What a host can do that may open nights.
#[derive(Debug, Clone)]
enum Deed {
    Pause(usize),
    PauseTheLink(usize),
    Delete(usize),
    StopTheExport(usize),
    StopTheImport(usize),
    ShowOnly(usize),
    Rotate(usize),
    Revoke(usize),
    DeleteBlock(usize),
    MoveBlock(usize),
    NoTurnover,
    DeleteProperty,
    DeleteLink,
    NarrowLink,
    DeleteAccount,
    /// Of what the site's feed misses.
    Release(usize),
    /// To a calendar with other stays, or an empty one.
    ChangeUrl(usize, bool),
}

fn deeds() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0..3_usize).prop_map(Deed::Pause),
        (0..3_usize).prop_map(Deed::PauseTheLink),
        (0..3_usize).prop_map(Deed::Delete),
        (0..3_usize).prop_map(Deed::StopTheExport),
        (0..3_usize).prop_map(Deed::StopTheImport),
        (0..3_usize).prop_map(Deed::ShowOnly),
        (0..3_usize).prop_map(Deed::Rotate),
        (0..3_usize).prop_map(Deed::Revoke),
        (0..2_usize).prop_map(Deed::DeleteBlock),
        (0..2_usize).prop_map(Deed::MoveBlock),
        Just(Deed::NoTurnover),
        Just(Deed::DeleteProperty),
        Just(Deed::DeleteLink),
        Just(Deed::NarrowLink),
        Just(Deed::DeleteAccount),
        (0..3_usize).prop_map(Deed::Release),
        (0..3_usize, any::<bool>()).prop_map(|(site, empty)| Deed::ChangeUrl(site, empty)),
    ]
}

fn edit_of(deed: &Deed) -> ConnectionEdit {
    let edit = ConnectionEdit::default();
    match deed {
        Deed::PauseTheLink(_) => ConnectionEdit { export_paused: Edit::To(true), export: SideEdit::Touch, ..edit },
        Deed::StopTheExport(_) => ConnectionEdit { direction: Some(Direction::Import), ..edit },
        Deed::ChangeUrl(..) => {
            let url = World::url("corrected").parse().unwrap();
            ConnectionEdit { url: Some(url), import: SideEdit::Touch, ..edit }
        }
        Deed::StopTheImport(_) => ConnectionEdit { direction: Some(Direction::Export), ..edit },
        _ => {
            let policy = set("blocks", Value::Flag(false));
            ConnectionEdit { policy, import: SideEdit::Touch, ..edit }
        }
    }
}

fn moved() -> BlockEdit {
    BlockEdit { start: Some(When::Night(day(40))), end: Some(When::Night(day(41))), force: true, ..Default::default() }
}

fn no_turnover() -> PropertyEdit {
    PropertyEdit { turnover_nights: Edit::To(0), ..Default::default() }
}

impl Scene {
    async fn preview(&self, deed: &Deed) -> Openings {
        let (app, reach, any) = (&self.world.app, self.reach(), Expected::Any);
        let site = |at: &usize| &self.sites[*at].0;
        match deed {
            Deed::Pause(at) => app.desk.preview_pause(&reach, site(at), None).await.unwrap(),
            Deed::Delete(at) => app.desk.preview_connection_deletion(&reach, site(at), &any).await.unwrap(),
            Deed::Rotate(at) => app.desk.preview_rotation(&reach, site(at), false).await.unwrap(),
            Deed::Revoke(at) => app.desk.preview_rotation(&reach, site(at), true).await.unwrap(),
            Deed::Release(at) => {
                let hold = self.hold(site(at)).await;
                app.desk.preview_release(&reach, &hold, true).await.unwrap()
            }
            Deed::PauseTheLink(at)
            | Deed::StopTheExport(at)
            | Deed::StopTheImport(at)
            | Deed::ChangeUrl(at, _)
            | Deed::ShowOnly(at) => {
                app.desk.preview_connection_edit(&reach, site(at), &edit_of(deed), &any).await.unwrap()
            }
            Deed::DeleteBlock(at) => app.desk.preview_block_deletion(&reach, &self.blocks[*at], &any).await.unwrap(),
            Deed::MoveBlock(at) => {
                app.desk.preview_block_edit(&reach, &self.blocks[*at], &moved(), &any).await.unwrap()
            }
            Deed::NoTurnover => {
                app.desk.preview_property_edit(&reach, &self.world.property, &no_turnover(), &any).await.unwrap()
            }
            Deed::DeleteProperty => {
                app.desk.preview_property_deletion(&reach, &self.world.property, &any).await.unwrap()
            }
            Deed::DeleteLink => app.desk.preview_link_deletion(&reach, &self.link.id, &any).await.unwrap(),
            Deed::NarrowLink => {
                app.desk.preview_link_edit(&reach, &self.link.id, &self.narrow().await, &any).await.unwrap()
            }
            Deed::DeleteAccount => app.desk.preview_account_deletion(&reach, &any).await.unwrap(),
        }
    }

    /// What must have come about before the deed; answers whether it can be done.
    async fn comes_to(&self, deed: &Deed) -> bool {
        match deed {
            Deed::Release(at) => {
                self.world.serve(SITES[*at], airbnb(7, &[]));
                self.world.sweep().await;
                let of = |block: &&calmesh_calendar::Block| block.connection() == Some(&self.sites[*at].0);
                let state = self.world.state().await;
                state.blocks.iter().filter(of).any(|block| block.hold().is_some())
            }
            Deed::ChangeUrl(_, empty) => {
                let other = [("HMCORRECTA", "2026-12-02", "2026-12-05"), ("HMCORRECTB", "2026-12-30", "2027-01-02")];
                self.world.serve("corrected", airbnb(1, if *empty { &[] } else { &other }));
                self.world.clock.advance(jiff::SignedDuration::from_mins(1));
                true
            }
            _ => true,
        }
    }

    /// A hold of a site's stay.
    async fn hold(&self, site: &ConnectionId) -> calmesh_calendar::HoldId {
        let state = self.world.state().await;
        let mut held = state.blocks.iter().filter(|block| block.connection() == Some(site));
        held.find_map(|block| block.hold()).unwrap().id.clone()
    }

    /// Nights that only held stays take.
    async fn held(&self) -> BTreeSet<Date> {
        let Some(state) = self.world.store.load(&self.world.property).await.unwrap() else { return BTreeSet::new() };
        let house = state.house();
        let (held, shown): (Vec<_>, Vec<_>) = state.blocks.iter().partition(|block| block.hold().is_some());
        let all = |blocks: Vec<&calmesh_calendar::Block>| -> BTreeSet<Date> {
            blocks.iter().filter_map(|block| block.extent.nights(&house)).flat_map(|nights| nights.iter()).collect()
        };
        all(held).difference(&all(shown)).copied().collect()
    }

    /// A link over another property alone.
    async fn narrow(&self) -> LinkEdit {
        let other = self.other().await;
        LinkEdit { scope: Some(WantedScope::Properties(vec![other])), ..Default::default() }
    }

    /// A second property, made once.
    async fn other(&self) -> calmesh_calendar::PropertyId {
        let ids = self.world.ports.common.properties.property_ids(&self.world.account).await.unwrap();
        if let Some(other) = ids.into_iter().find(|id| *id != self.world.property) {
            return other;
        }
        let new = crate::NewProperty {
            name: "Other".to_owned(),
            time_zone: "Europe/Madrid".to_owned(),
            check_in: crate::DEFAULT_CHECK_IN,
            check_out: crate::DEFAULT_CHECK_OUT,
            turnover_nights: 0,
            label_prefix: None,
        };
        self.world.app.desk.create_property(&self.reach(), new).await.unwrap().id
    }

    async fn act(&self, deed: &Deed) {
        let (app, reach, any) = (&self.world.app, self.reach(), Expected::Any);
        let site = |at: &usize| &self.sites[*at].0;
        match deed {
            Deed::Pause(at) => drop(app.desk.pause_connection(&reach, site(at), None).await.unwrap()),
            Deed::Delete(at) => app.desk.delete_connection(&reach, site(at), &any).await.unwrap(),
            Deed::Rotate(at) => drop(app.desk.rotate_link(&reach, site(at), false).await.unwrap()),
            Deed::Revoke(at) => drop(app.desk.rotate_link(&reach, site(at), true).await.unwrap()),
            Deed::Release(at) => {
                let hold = self.hold(site(at)).await;
                drop(app.desk.release_hold(&reach, &hold, true).await.unwrap());
            }
            Deed::PauseTheLink(at)
            | Deed::StopTheExport(at)
            | Deed::StopTheImport(at)
            | Deed::ChangeUrl(at, _)
            | Deed::ShowOnly(at) => {
                drop(app.desk.edit_connection(&reach, site(at), &edit_of(deed), &any).await.unwrap());
            }
            Deed::DeleteBlock(at) => app.desk.delete_block(&reach, &self.blocks[*at], &any).await.unwrap(),
            Deed::MoveBlock(at) => drop(app.desk.edit_block(&reach, &self.blocks[*at], &moved(), &any).await.unwrap()),
            Deed::NoTurnover => {
                drop(app.desk.edit_property(&reach, &self.world.property, &no_turnover(), &any).await.unwrap());
            }
            Deed::DeleteProperty => app.desk.delete_property(&reach, &self.world.property, &any).await.unwrap(),
            Deed::DeleteLink => app.desk.delete_link(&reach, &self.link.id, &any).await.unwrap(),
            Deed::NarrowLink => {
                drop(app.desk.edit_link(&reach, &self.link.id, &self.narrow().await, &any).await.unwrap());
            }
            Deed::DeleteAccount => app.desk.delete_account(&reach, &any).await.unwrap(),
        }
        self.world.work().await;
    }
}

async fn opens_what_it_says(stays: &[(usize, i16, i16)], own: &[(i16, i16)], turnover: u8, deeds: &[Deed]) {
    let scene = Scene::new(stays, own).await;
    let turned = PropertyEdit { turnover_nights: Edit::To(turnover), ..Default::default() };
    let reach = scene.reach();
    scene.world.app.desk.edit_property(&reach, &scene.world.property, &turned, &Expected::Any).await.unwrap();
    scene.world.work().await;
    // A link that was rotated away before, and that its site still reads.
    let mut first = BTreeMap::new();
    for (site, _) in &scene.sites {
        first.insert(site.clone(), scene.token(site).await);
    }
    for deed in deeds {
        if !scene.comes_to(deed).await {
            return;
        }
        let (read, extra, taken) = scene.read().await;
        let held_before = scene.held().await;
        let said = scene.preview(deed).await;
        scene.act(deed).await;
        let free: BTreeSet<Date> = taken.difference(&scene.taken_now().await).copied().collect();
        assert_eq!(said.opens, free, "{deed:?} opens");
        let held: BTreeSet<Date> = scene.held().await.difference(&held_before).copied().collect();
        assert_eq!(said.held, held, "{deed:?} leaves held");
        for (nth, (site, held)) in scene.sites.iter().enumerate() {
            let held = match deed {
                Deed::Release(at) | Deed::ChangeUrl(at, true) if *at == nth => BTreeSet::new(),
                Deed::ChangeUrl(at, false) if *at == nth => span(1, 3).union(&span(29, 3)).copied().collect(),
                _ => held.clone(),
            };
            let (token, had) = &read[site];
            let mut open = BTreeSet::new();
            for token in [token, &first[site]] {
                let still = nights(&scene.world, token, had);
                open.extend(had.difference(&still).filter(|night| !held.contains(night)).copied());
            }
            let none = BTreeSet::new();
            assert_eq!(said.at_sites.get(site).unwrap_or(&none), &open, "{deed:?} opens at {site}");
        }
        let still = nights(&scene.world, &scene.link.token, &extra);
        let open: BTreeSet<Date> = extra.difference(&still).copied().collect();
        assert_eq!(said.at_links.get(&scene.link.id).cloned().unwrap_or_default(), open, "{deed:?}");
        if !matches!(deed, Deed::Rotate(_)) {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// One deed, perhaps after links were given out anew, so that sites still read the ones before.
    #[test]
    fn what_a_preview_says_is_what_opens_on_the_links(
        stays in prop::collection::vec((0..3_usize, 0..20_i16, 1..5_i16), 0..7),
        own in prop::collection::vec((0..20_i16, 1..4_i16), 2),
        turnover in 0..2_u8,
        rotated in prop::option::of(0..3_usize),
        deed in deeds(),
    ) {
        let deeds: Vec<Deed> = rotated.map(Deed::Rotate).into_iter().chain([deed]).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(opens_what_it_says(&stays, &own, turnover, &deeds));
    }
}

/// A on the 4th to the 6th, b on the 10th and 11th; each site's link shows the other's.
async fn two_sites() -> Scene {
    Scene::new(&[(0, 3, 3), (1, 9, 2)], &[]).await
}

async fn said(scene: &Scene, deed: Deed) -> (usize, Vec<usize>) {
    let said = scene.preview(&deed).await;
    let at = scene.sites.iter().map(|(site, _)| said.at_sites.get(site).map_or(0, BTreeSet::len)).collect();
    (said.opens.len(), at)
}

#[tokio::test]
async fn a_link_that_is_emptied_opens_at_its_site_what_others_hold_though_nothing_is_freed() {
    let scene = two_sites().await;
    assert_eq!(said(&scene, Deed::PauseTheLink(0)).await, (0, vec![2, 0, 0]));
    assert_eq!(said(&scene, Deed::StopTheExport(2)).await, (0, vec![0, 0, 5]));
    assert_eq!(said(&scene, Deed::Revoke(2)).await, (0, vec![0, 0, 5]));
    assert_eq!(said(&scene, Deed::Rotate(2)).await, (0, vec![0, 0, 0]));
}

#[tokio::test]
async fn a_pause_opens_at_every_other_site_what_it_frees_and_at_its_own_what_others_hold() {
    let scene = two_sites().await;
    assert_eq!(said(&scene, Deed::Pause(0)).await, (3, vec![2, 3, 3]));
    assert_eq!(said(&scene, Deed::Delete(0)).await, (3, vec![2, 3, 3]));
    assert_eq!(said(&scene, Deed::StopTheImport(0)).await, (3, vec![0, 3, 3]));
    assert_eq!(said(&scene, Deed::DeleteProperty).await, (5, vec![2, 3, 5]));
    assert_eq!(said(&scene, Deed::DeleteAccount).await, (5, vec![2, 3, 5]));
}

#[tokio::test]
async fn a_preview_speaks_of_no_night_that_is_over_or_beyond_what_feeds_are_read() {
    let scene = Scene::new(&[], &[(-9, 2), (759, 40), (0, 1)]).await;
    scene.world.clock.advance(jiff::SignedDuration::from_hours(24 * 4));
    for (block, nights) in [(0, 0), (1, 11), (2, 1)] {
        // The horizon is 760 nights from the 25th of November on.
        let said = scene.preview(&Deed::DeleteBlock(block)).await;
        let nights = if block == 1 { said.opens.len() } else { nights };
        assert_eq!((said.opens.len(), said.at_sites.len()), (nights, if nights == 0 { 0 } else { 3 }), "{block}");
        let last = "2026-11-25".parse::<Date>().unwrap() + 760.days();
        assert!(said.opens.iter().all(|night| *night < last));
    }
}

#[tokio::test]
async fn a_link_alone_is_paused_and_filled_again_while_its_feed_blocks_the_others() {
    let scene = two_sites().await;
    let (world, reach) = (&scene.world, scene.reach());
    let (site, _) = &scene.sites[0];
    let token = scene.token(site).await;
    scene.act(&Deed::PauseTheLink(0)).await;
    assert_eq!(world.served(&token).unwrap(), Vec::<String>::new());
    assert_eq!(world.link(&scene.sites[1].0).await.unwrap(), ["20261204-20261207"]);
    let filled = ConnectionEdit { export_paused: Edit::Reset, export: SideEdit::Touch, ..Default::default() };
    world.app.desk.edit_connection(&reach, site, &filled, &Expected::Any).await.unwrap();
    world.work().await;
    assert_eq!(world.served(&token).unwrap(), ["20261210-20261212"]);
}

#[tokio::test]
async fn a_revoked_link_and_those_before_it_are_empty_for_a_week_from_then_on() {
    let scene = two_sites().await;
    let (world, reach) = (&scene.world, scene.reach());
    let (site, _) = &scene.sites[0];
    let first = scene.token(site).await;
    scene.act(&Deed::Rotate(0)).await;
    world.clock.advance(jiff::SignedDuration::from_hours(24 * 6));
    let second = scene.token(site).await;
    let said = world.app.desk.preview_rotation(&reach, site, true).await.unwrap();
    assert_eq!(said.at_sites[site].len(), 2);
    scene.act(&Deed::Revoke(0)).await;
    world.clock.advance(jiff::SignedDuration::from_hours(24 * 7 - 1));
    world.app.tick.announce_marks(world.now()).await.unwrap();
    world.work().await;
    for old in [&first, &second] {
        assert_eq!(world.served(old).unwrap(), Vec::<String>::new());
    }
    world.clock.advance(jiff::SignedDuration::from_hours(1));
    world.app.tick.announce_marks(world.now()).await.unwrap();
    world.work().await;
    assert_eq!((world.served(&first), world.served(&second)), (None, None));
}

async fn turned(scene: &Scene, direction: Direction) -> crate::ConnectionView {
    let edit = ConnectionEdit { direction: Some(direction), ..Default::default() };
    let (world, site) = (&scene.world, &scene.sites[0].0);
    let view = world.app.desk.edit_connection(&scene.reach(), site, &edit, &Expected::Any).await.unwrap();
    world.work().await;
    view
}

#[tokio::test]
async fn an_export_that_is_turned_on_again_within_a_week_has_the_link_it_had_and_those_rotated_before() {
    let scene = two_sites().await;
    let (world, first) = (&scene.world, scene.token(&scene.sites[0].0).await);
    scene.act(&Deed::Rotate(0)).await;
    let second = scene.token(&scene.sites[0].0).await;
    let full = ConnectionEdit { detail: Edit::To(Detail::Full), export: SideEdit::Touch, ..Default::default() };
    world.app.desk.edit_connection(&scene.reach(), &scene.sites[0].0, &full, &Expected::Any).await.unwrap();
    turned(&scene, Direction::Import).await;
    assert_eq!((world.served(&first).unwrap().len(), world.served(&second).unwrap().len()), (0, 0));
    world.clock.advance(jiff::SignedDuration::from_hours(24 * 7 - 1));
    let view = turned(&scene, Direction::Bidirectional).await;
    assert_eq!(view.export.unwrap().turned_on, Some(crate::TurnedOn::SameLink));
    let export = view.connection.export.unwrap();
    assert_eq!((&export.token, export.detail), (&second, Detail::Full));
    for token in [&first, &second] {
        assert_eq!(world.served(token).unwrap(), ["20261210-20261212"]);
    }
}

#[tokio::test]
async fn an_export_that_is_turned_on_after_its_link_ended_has_a_new_one_and_says_so() {
    let scene = two_sites().await;
    let (world, old) = (&scene.world, scene.token(&scene.sites[0].0).await);
    turned(&scene, Direction::Import).await;
    world.clock.advance(jiff::SignedDuration::from_hours(24 * 7));
    world.app.tick.announce_marks(world.now()).await.unwrap();
    world.work().await;
    assert_eq!(world.served(&old), None);
    let view = turned(&scene, Direction::Bidirectional).await;
    assert_eq!(view.export.unwrap().turned_on, Some(crate::TurnedOn::NewLink));
    assert_ne!(view.connection.export.unwrap().token, old);
}

#[tokio::test]
async fn a_revoked_link_never_lives_again() {
    let scene = two_sites().await;
    let (world, revoked) = (&scene.world, scene.token(&scene.sites[0].0).await);
    scene.act(&Deed::Revoke(0)).await;
    turned(&scene, Direction::Import).await;
    turned(&scene, Direction::Bidirectional).await;
    assert_eq!(world.served(&revoked).unwrap(), Vec::<String>::new());
}

// ---- what may be an echo ----------------------------------------------------------------------------------------

/// The nights that every link shows.
async fn links(world: &World) -> BTreeMap<ConnectionId, BTreeSet<Date>> {
    let state = world.state().await;
    let exporting = state.connections.iter().filter_map(|known| Some((known.id.clone(), known.export.as_ref()?)));
    exporting.map(|(id, export)| (id, nights(world, &export.token, &BTreeSet::new()))).collect()
}

/// An event of a calendar that tells nothing of where it comes from.
fn plain(events: &[(&str, &str, &str)]) -> String {
    let text = airbnb(1, events).replace("-//Airbnb Inc//Hosting Calendar 1.0//EN", "-//somebody//EN");
    let lines = text.lines().filter(|line| !line.starts_with("DESCRIPTION") && !line.starts_with(" "));
    lines.map(|line| format!("{}\r\n", line.replace("SUMMARY:Reserved", "SUMMARY:Blocked"))).collect()
}

/// A site that sold three nights, one that repeats them under names of its own and read its link just before, and
/// one that does neither.
async fn an_origin_and_its_echo() -> (World, [ConnectionId; 3]) {
    let world = World::new().await;
    world.clock.tick(jiff::SignedDuration::from_millis(1));
    let sites =
        [world.connect("a", "airbnb").await, world.connect("b", "generic").await, world.connect("c", "airbnb").await];
    world.serve("a", airbnb(1, &[("HMAAAA", "2026-12-04", "2026-12-07")]));
    world.serve("b", plain(&[]));
    world.serve("c", airbnb(1, &[]));
    world.sweep().await;
    world.clock.advance(jiff::SignedDuration::from_mins(5));
    let state = world.state().await;
    let token = state.connection(&sites[1]).unwrap().export.clone().unwrap().token;
    world.store.record_reads(&token.hash(), &[world.now()].into()).await.unwrap();
    world.serve("b", plain(&[("1@b", "2026-12-04", "2026-12-07")]));
    world.sweep().await;
    (world, sites)
}

/// What a preview said, and what then happened: nights that became free, and those that each link lost.
async fn lost(
    world: &World,
    deed: impl AsyncFnOnce(&World),
) -> (BTreeSet<Date>, BTreeMap<ConnectionId, BTreeSet<Date>>) {
    let (taken, shown) = (world.taken().await, links(world).await);
    deed(world).await;
    world.work().await;
    let (still, after) = (world.taken().await, links(world).await);
    let free = taken.iter().filter(|night| !still.contains(night)).map(|night| night.parse().unwrap()).collect();
    let none = BTreeSet::new();
    let gone = shown.iter().map(|(id, nights)| (id, nights.difference(after.get(id).unwrap_or(&none)).copied()));
    let gone = gone.map(|(id, nights)| (id.clone(), nights.collect::<BTreeSet<Date>>()));
    (free, gone.filter(|(_, nights)| !nights.is_empty()).collect())
}

#[tokio::test]
async fn what_only_an_echo_holds_stays_taken_while_its_site_is_asked_and_opens_there_alone() {
    let (world, [a, b, c]) = an_origin_and_its_echo().await;
    let (reach, three) = (Reach::whole(world.account.clone()), span(3, 3));
    let said = world.app.desk.preview_pause(&reach, &a, None).await.unwrap();
    let (free, gone) =
        lost(&world, async |world| drop(world.app.desk.pause_connection(&reach, &a, None).await.unwrap())).await;
    assert_eq!((&said.opens, said.opens.len()), (&free, 0), "it blocks until it was asked");
    assert_eq!(gone, BTreeMap::from([(b.clone(), three.clone())]));
    assert_eq!(said.at_sites, gone, "and {c} is shown it on");
}

#[tokio::test]
async fn the_link_of_a_site_that_may_only_repeat_opens_there_what_its_origin_holds() {
    for deleted in [false, true] {
        let (world, [_, b, _]) = an_origin_and_its_echo().await;
        let (reach, three) = (Reach::whole(world.account.clone()), span(3, 3));
        let said = if deleted {
            world.app.desk.preview_connection_deletion(&reach, &b, &Expected::Any).await.unwrap()
        } else {
            world.app.desk.preview_pause(&reach, &b, None).await.unwrap()
        };
        assert!(said.opens.is_empty());
        assert_eq!(said.at_sites, BTreeMap::from([(b.clone(), three)]), "what it shows may be ours: {deleted}");
    }
}

#[tokio::test]
async fn a_corrected_url_of_the_origin_opens_what_its_echo_does_not_hold_yet() {
    let (world, [a, b, c]) = an_origin_and_its_echo().await;
    let reach = Reach::whole(world.account.clone());
    world.clock.advance(jiff::SignedDuration::from_mins(1));
    world.serve("corrected", airbnb(1, &[("HMCORRECT", "2026-12-20", "2026-12-22")]));
    let edit = edit_of(&Deed::ChangeUrl(0, false));
    let said = world.app.desk.preview_connection_edit(&reach, &a, &edit, &Expected::Any).await.unwrap();
    let edited = async |world: &World| {
        drop(world.app.desk.edit_connection(&reach, &a, &edit, &Expected::Any).await.unwrap());
    };
    let (free, gone) = lost(&world, edited).await;
    assert_eq!((&said.opens, said.opens.len()), (&free, 0), "the echo blocks until its site was asked");
    assert_eq!(gone, BTreeMap::from([(b, span(3, 3))]));
    assert_eq!(said.at_sites, gone);
    assert!(links(&world).await[&c].is_superset(&span(3, 3)));
}

#[tokio::test]
async fn a_new_calendar_is_judged_anew_and_not_by_what_was_found_of_the_one_before() {
    let (world, [a, b, _]) = an_origin_and_its_echo().await;
    let reach = Reach::whole(world.account.clone());
    // B was asked, and let go: it only repeated.
    world.serve("a", airbnb(2, &[]));
    world.sweep().await;
    let state = world.state().await;
    let hold = state.blocks.iter().find_map(|block| block.hold()).unwrap().id.clone();
    world.app.desk.release_hold(&reach, &hold, true).await.unwrap();
    world.work().await;
    world.clock.advance(jiff::SignedDuration::from_mins(5));
    let token = world.state().await.connection(&b).unwrap().export.clone().unwrap().token;
    world.store.record_reads(&token.hash(), &[world.now()].into()).await.unwrap();
    world.serve("b", plain(&[]));
    world.sweep().await;
    assert!(world.taken().await.is_empty());
    // Another calendar shows the same nights under B's connection, while A sells them once more.
    world.serve("a", airbnb(3, &[("HMNEWW", "2026-12-04", "2026-12-07")]));
    world.sweep().await;
    world.serve("corrected", plain(&[("x@other", "2026-12-04", "2026-12-07")]));
    world.clock.advance(jiff::SignedDuration::from_mins(1));
    let edit = edit_of(&Deed::ChangeUrl(1, false));
    world.app.desk.edit_connection(&reach, &b, &edit, &Expected::Any).await.unwrap();
    world.work().await;
    world.app.desk.pause_connection(&reach, &a, None).await.unwrap();
    world.work().await;
    assert_eq!(world.taken().await.len(), 3, "it blocks until it was asked itself");
}

#[tokio::test]
async fn a_released_hold_opens_at_every_site_but_those_that_hold_the_nights_themselves() {
    let scene = Scene::new(&[(0, 3, 3), (1, 4, 3)], &[]).await;
    let (world, reach) = (&scene.world, scene.reach());
    assert!(scene.comes_to(&Deed::Release(0)).await);
    let hold = scene.hold(&scene.sites[0].0).await;
    let said = world.app.desk.preview_release(&reach, &hold, true).await.unwrap();
    let released = async |world: &World| drop(world.app.desk.release_hold(&reach, &hold, true).await.unwrap());
    let (free, _) = lost(world, released).await;
    assert_eq!((&said.opens, &free), (&span(3, 1), &span(3, 1)));
    let [_, (b, _), (c, _)] = &scene.sites[..] else { panic!() };
    // B holds the rest itself, and C is shown it on.
    assert_eq!(said.at_sites, BTreeMap::from([(b.clone(), span(3, 1)), (c.clone(), span(3, 1))]));
}

#[tokio::test]
async fn a_conflict_that_is_settled_opens_nothing_before_the_site_was_asked() {
    let world = World::new().await;
    world.clock.tick(jiff::SignedDuration::from_millis(1));
    let (_, b) = (world.connect("a", "airbnb").await, world.connect("b", "generic").await);
    world.serve("b", plain(&[("1@b", "2026-12-04", "2026-12-06")]));
    world.serve("a", airbnb(1, &[]));
    world.sweep().await;
    world.serve("a", airbnb(1, &[("HMAAAA", "2026-12-05", "2026-12-08")]));
    world.sweep().await;
    let state = world.state().await;
    let (conflict, reach) = (state.conflicts[0].clone(), Reach::whole(world.account.clone()));
    let is_of =
        |block: &BlockId, site| state.blocks.iter().any(|known| known.id == *block && known.connection() == Some(site));
    // A's own text tells that its guest is one, so what the host says of it changes nothing but the conflict.
    let mut blocks = conflict.blocks.clone();
    blocks.sort_by_key(|block| is_of(block, &b));
    for block in &blocks {
        let said = world.app.desk.preview_resolution(&reach, &conflict.id, block).await.unwrap();
        let resolved = async |world: &World| {
            drop(world.app.desk.resolve_conflict(&reach, &conflict.id, block).await.unwrap());
        };
        let (free, gone) = lost(&world, resolved).await;
        assert_eq!((&said.opens, said.opens.len()), (&free, 0));
        // One site alone says the fourth: it is asked for it, and its link does not say so anyway. A, which holds the
        // fifth by itself, is not shown it any more.
        assert!(said.at_sites.is_empty(), "{said:?}");
        assert!(gone.keys().all(|site| *site != b), "{gone:?}");
    }
}
