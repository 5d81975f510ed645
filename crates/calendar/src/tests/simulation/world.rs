//! A world out of a seed: sites with habits, guests and hosts, and what goes wrong; run through, watched and measured.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    rc::Rc,
};

use super::{
    rng::Rng,
    service::{Method, Service},
    site::{DAY, Echo, Feed, HOUR, Habits, Imported, Mask, Minute, Site, Stay, Uids, mask},
};
use crate::*;

/// What kind of world a seed makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    /// Every read of a link is recorded at once.
    pub(super) complete_record: bool,
    /// A site that repeats another's stays behind our back.
    pub(super) mirrors: bool,
    /// Late check-outs, the host's own blocks, turnover nights, rotated links, connections that only export, and a host
    /// who says which stay of a conflict is gone.
    pub(super) extras: bool,
    /// Connections are made while the others show stays already, are paused and resumed in conflict, stays move far, and
    /// several sites sell the same nights within minutes.
    pub(super) races: bool,
    /// What makes phantoms of this world undecidable.
    pub(super) cause: Option<Cause>,
    /// Days in which things happen, and days of rest afterwards.
    pub(super) days: i64,
    pub(super) rest: i64,
}

impl Setting {
    pub(super) fn of(seed: u64) -> Self {
        let causes = [Cause::LinkedDirectly, Cause::NeverLetsGo, Cause::TwoConnections, Cause::RoundsUp];
        Self {
            complete_record: seed.is_multiple_of(2),
            mirrors: seed % 5 == 4,
            extras: seed % 3 == 1,
            races: false,
            cause: causes.get((seed / 10 % 4) as usize).copied().filter(|_| seed % 10 == 7),
            days: 12,
            rest: 13,
        }
    }

    pub(super) fn with_races(seed: u64) -> Self {
        Self { races: true, ..Self::of(seed) }
    }
}

/// Why nobody can tell what comes back around us from a stay (SEMANTICS.md). Such worlds have to be safe too; that they
/// come to rest can't be asked of them, so what stays is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// One site reads another's feed.
    LinkedDirectly,
    /// A site keeps what it once read.
    NeverLetsGo,
    /// A site's feed and its link are two connections here.
    TwoConnections,
    /// A site shows a night more than it read, beside another one that repeats.
    RoundsUp,
}

/// What became of the worlds of one cause.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Undecided {
    pub(super) worlds: u64,
    pub(super) stuck_worlds: u64,
    pub(super) stuck_nights: u64,
    pub(super) idle_writes: u64,
}

#[derive(Debug, Clone)]
enum Event {
    Build(usize),
    Poll(usize),
    Read(usize),
    /// A link that was rotated is read for a while beside the new one.
    ReadOld(usize, Minute),
    Import(usize, Rc<Vec<Imported>>),
    Link(usize, Rc<Vec<Imported>>),
    Publish,
    Wake,
    Guest,
    Cancel,
    Move,
    Close,
    Open,
    Pause,
    Resume(usize),
    Outage,
    Own,
    Rotate,
    SayGone(Vec<BlockId>),
    /// The host makes the connection.
    Connect(usize),
    /// The connection of a stay in conflict is paused for a while.
    PauseFor(usize, Minute),
    /// A stay moves far.
    MoveFar,
    /// A guest books just these nights, where they seem free.
    Race(usize, i64, i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    Fails,
    /// 200 with no events.
    Empty,
    /// One stay is missing.
    Lossy,
}

/// Why a night that is really taken was not on the link of a site that might sell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// That site is asked for the night.
    Asked,
    /// That site is taken for the night's witness (3b, 3c).
    Witness,
    /// The real stay is taken for an echo.
    Hidden,
    /// The link was not put yet.
    Unpublished,
}

/// What a run brought, in minutes a night and site, or counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) runs: u64,
    pub(super) simulated_days: i64,
    pub(super) steps: u64,
    pub(super) takes: u64,
    pub(super) stays: u64,
    pub(super) double_bookings: u64,
    /// The site that sold had time enough to learn of the other stay from us.
    pub(super) avoidable: u64,
    pub(super) on_sale: Minute,
    pub(super) freed_again: Minute,
    pub(super) gaps: BTreeMap<Gap, Minute>,
    pub(super) violations: u64,
    /// How long nights stayed on links that nobody held any more.
    pub(super) phantoms: Vec<Minute>,
    /// Nights on links at the end that nobody holds, and held ones that are missing.
    pub(super) stuck: u64,
    pub(super) missing: u64,
    /// From the last change in the world until every link told the truth.
    pub(super) settled_after: Minute,
    pub(super) conflicts: u64,
    pub(super) false_conflicts: u64,
    /// Stays of sites that had read none of their nights, beside surely held ones of others: they have to be told.
    pub(super) races: u64,
    /// Nights that a site shows because it read them lately: they must not be told.
    pub(super) repeats: u64,
    /// Links put, and changes taken in, on the last day, when nothing had changed for long.
    pub(super) idle_writes: u64,
    /// How long that was watched for.
    pub(super) quiet: Minute,
    pub(super) undecided: BTreeMap<Cause, Undecided>,
    pub(super) trouble: Vec<String>,
}

impl Figures {
    pub(super) fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.simulated_days += other.simulated_days;
        self.steps += other.steps;
        self.takes += other.takes;
        self.stays += other.stays;
        self.double_bookings += other.double_bookings;
        self.avoidable += other.avoidable;
        self.on_sale += other.on_sale;
        self.freed_again += other.freed_again;
        for (gap, minutes) in other.gaps {
            *self.gaps.entry(gap).or_default() += minutes;
        }
        self.violations += other.violations;
        self.phantoms.extend(other.phantoms);
        self.stuck += other.stuck;
        self.missing += other.missing;
        self.settled_after = self.settled_after.max(other.settled_after);
        self.conflicts += other.conflicts;
        self.false_conflicts += other.false_conflicts;
        self.races += other.races;
        self.repeats += other.repeats;
        self.idle_writes += other.idle_writes;
        self.quiet += other.quiet;
        for (cause, theirs) in other.undecided {
            let all = self.undecided.entry(cause).or_default();
            all.worlds += theirs.worlds;
            all.stuck_worlds += theirs.stuck_worlds;
            all.stuck_nights += theirs.stuck_nights;
            all.idle_writes += theirs.idle_writes;
        }
        self.trouble.extend(other.trouble);
    }

    fn fail(&mut self, what: String) {
        self.violations += 1;
        if self.trouble.len() < 3 {
            self.trouble.push(what);
        }
    }
}

pub(super) struct World {
    seed: u64,
    rng: Rng,
    now: Minute,
    setting: Setting,
    sites: Vec<Site>,
    service: Service,
    poll_every: Minute,
    agenda: BinaryHeap<Reverse<(Minute, u64)>>,
    events: BTreeMap<u64, Event>,
    number: u64,
    outages: Vec<Option<(Minute, Outage)>>,
    /// Single readings that lack a stay, by a dice of their own, and when each feed had its last one.
    slips: Rng,
    slipped: Vec<Minute>,
    next_stay: u64,
    /// When each night of each site was first known to us from another site's stay.
    known_since: Vec<[Option<Minute>; 128]>,
    known: Vec<Mask>,
    phantoms: Vec<Mask>,
    had_imported: Vec<Mask>,
    phantom_since: Vec<[Option<Minute>; 128]>,
    last_wrong: Minute,
    /// When a feed last showed a night of a stay that it did not show before.
    last_news: Minute,
    turnover: u8,
    /// The host's own blocks.
    host: Vec<(BlockId, Mask)>,
    /// The link that the site reads is revoked, and the new one is not pasted there yet.
    revoked_until: Vec<Minute>,
    /// When each site last got each night from its link, and what it may ever have got, for all that the record tells.
    got_at: Vec<[Option<Minute>; 128]>,
    may_have_got: Vec<Mask>,
    /// When each link last had each night, or was about to have it.
    carried_at: Vec<[Option<Minute>; 128]>,
    /// Nights that each connection surely held when it was paused, and when that was; who was paused for a day.
    stood: Vec<Mask>,
    paused_at: Vec<Minute>,
    was_long_paused: Vec<bool>,
    /// Nights that each site held at any time, and those of stays that the host said to be gone.
    ever_held: Vec<Mask>,
    ever_gone: Vec<Mask>,
    /// By a dice of its own.
    chance: Rng,
    wake: Option<Minute>,
    figures: Figures,
    story: Option<Vec<String>>,
}

fn habits(rng: &mut Rng, number: usize, rounded: &mut bool) -> Habits {
    let echo = match rng.between(0, 9) {
        0..=3 => Echo::None,
        4 => Echo::Verbatim,
        5 | 6 => Echo::Reminted,
        7 => Echo::Merged,
        8 => Echo::Split,
        _ if !*rounded => {
            *rounded = true;
            Echo::Rounded
        }
        _ => Echo::Reminted,
    };
    let never_reads = number > 0 && rng.percent(6);
    let reads_every = *rng.pick(&[20, 60, 120, 120, 180, 240, 360, 12 * HOUR, 24 * HOUR]);
    Habits {
        reads_every: (!never_reads).then_some(reads_every),
        cadence_is_known: rng.percent(80),
        import_lag: *rng.pick(&[0, 0, 1, 5, 30]),
        feed_every: *rng.pick(&[1, 1, 5, 15, 60]),
        horizon: *rng.pick(&[30, 45, 90, 90]),
        echo,
        uids: *rng.pick(&[Uids::Stable, Uids::Stable, Uids::ByRange, Uids::Fresh, Uids::None]),
        marks: rng.percent(35),
        tells_apart: rng.percent(60),
        clamps: rng.percent(40),
        mirrors: None,
        sells: false,
        has_link: true,
        has_feed: true,
        two_connections: false,
        linked_to: None,
        never_lets_go: false,
        late: false,
    }
}

/// Gives some sites what only some worlds have, by a dice of its own; answers the nights of turnover.
fn add_oddities(seed: u64, setting: Setting, sites: &mut [Site]) -> u8 {
    let mut rng = Rng::of(seed ^ 0x00dd);
    let last = sites.len() as i64 - 1;
    let mut turnover = 0;
    if setting.extras {
        turnover = *rng.pick(&[0, 0, 1, 1, 2]);
        if sites.iter().any(|site| site.habits.echo == Echo::Rounded) {
            turnover = 0;
        }
        for site in sites.iter_mut() {
            site.habits.late = rng.percent(40);
            site.habits.clamps &= !site.habits.late;
            if rng.percent(10) {
                site.habits.import_lag = rng.between(2, 5) * HOUR;
            }
        }
        // Two sites at least are read.
        if last >= 2 && rng.percent(50) {
            sites[1].habits.has_feed = false;
        }
        for site in sites.iter_mut().filter(|site| site.habits.mirrors.is_some()) {
            site.habits.sells = rng.percent(50);
        }
    }
    // A mirror is the last one, and no site to make a loop with.
    let ordinary = last - i64::from(setting.mirrors);
    let of = rng.between(0, ordinary) as usize;
    let habits = &mut sites[of].habits;
    if setting.cause.is_some() && habits.echo == Echo::None {
        habits.echo = Echo::Reminted;
    }
    match setting.cause {
        Some(Cause::LinkedDirectly) => {
            let other = (of + 1) % (ordinary as usize + 1);
            habits.linked_to = Some(other);
            if rng.percent(50) {
                sites[other].habits.linked_to = Some(of);
            }
        }
        Some(Cause::NeverLetsGo) => habits.never_lets_go = true,
        Some(Cause::TwoConnections) => habits.two_connections = true,
        Some(Cause::RoundsUp) => habits.echo = Echo::Rounded,
        None => {}
    }
    turnover
}

impl World {
    pub(super) fn new(seed: u64, setting: Setting, method: Method, tell: bool) -> Self {
        let mut rng = Rng::of(seed);
        let number = *rng.pick(&[2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 8]) as usize;
        let mut rounded = setting.cause.is_some();
        let mut sites: Vec<Site> =
            (0..number).map(|number| Site::new(habits(&mut rng, number, &mut rounded))).collect();
        if rounded && setting.cause.is_none() {
            // A night too many beside a site that repeats it can't be told from a stay of its own: see the README.
            for site in sites.iter_mut().filter(|site| !matches!(site.habits.echo, Echo::Rounded | Echo::Verbatim)) {
                site.habits.echo = Echo::None;
            }
        }
        if setting.mirrors {
            let mirror = Habits {
                mirrors: Some(0),
                has_link: false,
                echo: Echo::None,
                marks: false,
                clamps: sites[0].habits.clamps,
                horizon: 90,
                ..habits(&mut rng, 1, &mut rounded)
            };
            sites.push(Site::new(mirror));
        }
        let turnover = add_oddities(seed, setting, &mut sites);
        let service = Service::new(&sites, turnover, setting.complete_record, method);
        let count = sites.len();
        let mut world = Self {
            seed,
            poll_every: *rng.pick(&[30, 30, 60]),
            rng,
            now: 0,
            setting,
            service,
            agenda: BinaryHeap::new(),
            events: BTreeMap::new(),
            number: 0,
            outages: vec![None; count],
            slips: Rng::of(seed ^ 0x511b),
            slipped: vec![-DAY; count],
            next_stay: 0,
            known_since: vec![[None; 128]; count],
            known: vec![0; count],
            phantoms: vec![0; count],
            had_imported: vec![0; count],
            phantom_since: vec![[None; 128]; count],
            last_wrong: 0,
            last_news: 0,
            turnover,
            host: Vec::new(),
            revoked_until: vec![0; count],
            got_at: vec![[None; 128]; count],
            may_have_got: vec![0; count],
            carried_at: vec![[None; 128]; count],
            stood: vec![0; count],
            paused_at: vec![0; count],
            was_long_paused: vec![false; count],
            ever_held: vec![0; count],
            ever_gone: vec![0; count],
            chance: Rng::of(seed ^ 0x7ace),
            wake: None,
            figures: Figures { runs: 1, simulated_days: setting.days + setting.rest, ..Figures::default() },
            story: tell.then(Vec::new),
            sites,
        };
        // Whoever is slow to follow its link takes long to come to rest.
        if world.sites.iter().any(|site| site.habits.import_lag > HOUR) {
            world.setting.rest = world.setting.rest.max(world.bound() / DAY + 1);
        }
        world.figures.simulated_days = world.setting.days + world.setting.rest;
        for of in 0..count {
            world.tell(|world| format!("site {of}: {:?}", world.sites[of].habits));
            let first_poll = world.rng.between(1, world.poll_every);
            if world.sites[of].habits.has_feed {
                world.plan(first_poll, Event::Poll(of));
            }
            if let Some(every) = world.sites[of].habits.reads_every.filter(|_| world.sites[of].habits.has_link) {
                let first = world.rng.between(1, every);
                world.plan(first, Event::Read(of));
            }
            world.plan(1, Event::Build(of));
        }
        if setting.races {
            world.plan_races();
        }
        for event in [Event::Guest, Event::Cancel, Event::Move, Event::Close, Event::Open, Event::Pause, Event::Outage]
        {
            world.plan_next(event);
        }
        if setting.extras {
            world.plan_next(Event::Own);
            world.plan_next(Event::Rotate);
        }
        world
    }

    fn plan(&mut self, after: Minute, event: Event) {
        self.number += 1;
        self.agenda.push(Reverse((self.now + after, self.number)));
        self.events.insert(self.number, event);
    }

    fn plan_next(&mut self, event: Event) {
        let count = self.sites.len() as i64;
        let mean = match event {
            Event::Guest => 20 * HOUR / count,
            Event::Cancel => 40 * HOUR / count,
            Event::Move => 5 * DAY,
            Event::Close => 3 * DAY,
            Event::Open => 4 * DAY,
            Event::Pause => 15 * DAY,
            Event::Own => 2 * DAY,
            Event::MoveFar => 3 * DAY,
            _ => 4 * DAY,
        };
        let after = self.rng.between(1, 2 * mean);
        if self.now + after < self.setting.days * DAY {
            self.plan(after, event);
        }
    }

    fn today(&self) -> i64 {
        self.now / DAY
    }

    fn when(&self) -> String {
        format!("day {:>2} {:02}:{:02}", self.now / DAY, self.now % DAY / HOUR, self.now % HOUR)
    }

    /// Nights after tonight.
    fn ahead(&self) -> Mask {
        !mask(0, self.today() + 1)
    }

    fn tell(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.story.is_some() {
            let line = line(self);
            let stamp = format!("{}  ", self.when());
            if let Some(story) = &mut self.story {
                story.push(stamp + &line);
            }
        }
    }

    pub(super) fn run(mut self) -> (Figures, Vec<String>) {
        let end = (self.setting.days + self.setting.rest) * DAY;
        while let Some(Reverse((when, number))) = self.agenda.pop() {
            if when >= end {
                break;
            }
            self.watch(when - self.now);
            self.now = when;
            let Some(event) = self.events.remove(&number) else { continue };
            self.figures.steps += 1;
            self.happen(event);
            self.check();
        }
        self.finish();
        (self.figures, self.story.unwrap_or_default())
    }

    // ---- what happens --------------------------------------------------------------------------------------------

    fn happen(&mut self, event: Event) {
        match event {
            Event::Build(of) => self.build(of),
            Event::Poll(of) => self.poll(of),
            Event::Read(of) => self.read_link(of),
            Event::ReadOld(of, until) => {
                if self.now < until {
                    self.read_once(of);
                    let every = self.sites[of].habits.reads_every.unwrap_or(DAY);
                    self.plan(every, Event::ReadOld(of, until));
                }
            }
            Event::Import(of, events) => {
                let today = self.today();
                self.sites[of].import(events, today);
                self.plan_build(of);
            }
            Event::Link(of, events) => {
                self.sites[of].linked = events;
                self.plan_build(of);
            }
            Event::Publish => {
                let put = self.service.publish(self.now);
                for of in put {
                    self.watch_write(true);
                    self.tell(|world| format!("link {of} shows {}", text(&world.service.links[of].events)));
                }
            }
            Event::Wake => {
                if self.service.wake_at.is_some_and(|wake_at| wake_at <= self.now) && self.service.wake(self.now) {
                    self.follow();
                }
            }
            Event::Guest => {
                self.book();
                self.plan_next(Event::Guest);
            }
            Event::Cancel => {
                self.cancel();
                self.plan_next(Event::Cancel);
            }
            Event::Move => {
                self.move_stay();
                self.plan_next(Event::Move);
            }
            Event::Close => {
                self.close();
                self.plan_next(Event::Close);
            }
            Event::Open => {
                self.open();
                self.plan_next(Event::Open);
            }
            Event::Pause => {
                self.pause();
                self.plan_next(Event::Pause);
            }
            Event::Resume(of) => {
                self.service.pause(of, false, self.now);
                self.tell(|_| format!("connection {of} is resumed"));
                self.watch_resumption(of);
                self.follow();
            }
            Event::Outage => {
                self.begin_outage();
                self.plan_next(Event::Outage);
            }
            Event::Own => {
                self.change_own();
                self.plan_next(Event::Own);
            }
            Event::Rotate => {
                self.rotate();
                self.plan_next(Event::Rotate);
            }
            Event::SayGone(blocks) => self.say_gone(&blocks),
            Event::Connect(of) => self.connect(of),
            Event::PauseFor(of, long) => self.pause_for(of, long),
            Event::MoveFar => {
                self.move_far();
                self.plan_next(Event::MoveFar);
            }
            Event::Race(of, first, end) => self.race(of, first, end),
        }
    }

    // ---- races ---------------------------------------------------------------------------------------------------

    /// Some sites are connected later, when they and the others show stays already.
    fn plan_races(&mut self) {
        for of in 0..self.sites.len() {
            if self.chance.percent(40) {
                self.service.disconnect(of);
                let after = self.chance.between(HOUR, self.setting.days * DAY - 1);
                self.plan(after, Event::Connect(of));
            }
        }
        self.plan_next(Event::MoveFar);
    }

    fn connect(&mut self, of: usize) {
        self.service.connect(of, self.now);
        self.tell(|_| format!("connection {of} is made"));
        let soon = self.chance.between(0, 3);
        if self.sites[of].habits.has_feed {
            self.plan(soon, Event::Poll(of));
        }
        self.follow();
    }

    fn pause_for(&mut self, of: usize, long: Minute) {
        if self.service.paused[of] || self.now >= self.setting.days * DAY {
            return;
        }
        self.begin_pause(of);
        self.tell(|_| format!("connection {of} is paused in conflict, for {long} minutes"));
        self.follow();
        let long = long.min(self.setting.days * DAY - self.now).max(1);
        self.plan(long, Event::Resume(of));
    }

    /// Some of the connections of a conflict are paused soon, for minutes or hours.
    fn plan_pauses(&mut self, conflict: &Conflict) {
        let of: Vec<usize> = conflict.blocks.iter().filter_map(|block| self.service.connection_of(block)).collect();
        for of in of {
            if self.chance.percent(50) {
                let within = *self.chance.pick(&[5, 4 * HOUR]);
                let after = self.chance.between(1, within);
                let long = *self.chance.pick(&[1, 2, 30, 5 * HOUR, 30 * HOUR]);
                self.plan(after, Event::PauseFor(of, long));
            }
        }
    }

    fn move_far(&mut self) {
        let (today, booked) = (self.today(), self.chance.percent(70));
        let stays = self.sites.iter().enumerate().flat_map(|(of, site)| {
            site.stays.iter().enumerate().filter(|(_, stay)| !stay.mirrored).map(move |(at, stay)| (of, at, *stay))
        });
        let stays: Vec<_> = stays.filter(|(_, _, stay)| stay.first > today && stay.booked == booked).collect();
        if stays.is_empty() {
            return;
        }
        let (of, at, stay) = *self.chance.pick(&stays);
        let first = today + 1 + self.chance.between(0, 30);
        let end = first + stay.end - stay.first;
        let moved = Stay { first, end, ..stay };
        if moved.mask() & self.sites[of].taken() & !stay.mask() != 0 {
            return;
        }
        self.sites[of].stays[at] = moved;
        self.tell(|_| format!("{}-{} moves far, to {first}-{end}, at site {of}", stay.first, stay.end));
        self.plan_build(of);
        self.plan_mirrors(of);
        self.plan_race(first, end);
    }

    /// Guests look for the same nights elsewhere, at the same time.
    fn plan_race(&mut self, first: i64, end: i64) {
        if self.setting.races && self.chance.percent(60) {
            let of = self.chance.between(0, self.sites.len() as i64 - 1) as usize;
            let after = *self.chance.pick(&[1, 5, 40, 3 * HOUR]);
            self.plan(after, Event::Race(of, first, end));
        }
    }

    fn race(&mut self, of: usize, first: i64, end: i64) {
        let booked = self.chance.percent(60);
        let stay = Stay { id: self.next_stay + 1, first, end, booked, late: false, mirrored: false };
        let no_shop = self.sites[of].habits.mirrors.is_some();
        if no_shop || first <= self.today() || stay.mask() & self.sites[of].taken() != 0 {
            return;
        }
        self.next_stay += 1;
        self.figures.stays += 1;
        self.sites[of].stays.push(stay);
        self.tell(|_| format!("somebody takes {first}-{end} at site {of} too"));
        self.plan_build(of);
        self.plan_mirrors(of);
    }

    /// For so long nothing has come into any feed, or was trimmed from it at midnight, that every site has heard of it and
    /// told us.
    fn is_quiet(&self) -> bool {
        let answer = |site: &Site| {
            site.habits.reads_every.map_or(0, |every| every * 11 / 10) + site.habits.import_lag + site.habits.feed_every
        };
        let slowest = self.sites.iter().map(answer).max().unwrap_or(0);
        let last_day = (self.setting.days + self.setting.rest - 1) * DAY;
        self.now > self.last_news.max(last_day) + slowest + 3 * HOUR
    }

    /// Something is written: a link, or what came of a reading.
    fn watch_write(&mut self, link: bool) {
        // Who gives its events new names whenever it likes has us write these down.
        let restless = !link && self.sites.iter().any(|site| site.habits.uids == Uids::Fresh);
        if restless || !self.is_quiet() {
            return;
        }
        self.figures.idle_writes += 1;
        if self.setting.cause.is_none() {
            let when = self.when();
            self.figures.fail(format!("seed {}, {when}: a write though nothing had changed for long", self.seed));
        }
    }

    fn plan_build(&mut self, of: usize) {
        let every = self.sites[of].habits.feed_every;
        let after = every - self.now % every;
        self.plan(after, Event::Build(of));
    }

    fn build(&mut self, of: usize) {
        let today = self.today();
        if let Some(origin) = self.sites[of].habits.mirrors {
            let stays = self.sites[origin].stays.clone();
            self.sites[of].mirror(stays);
        }
        self.ever_held[of] |= self.sites[of].own();
        let before = self.sites[of].feed.own;
        self.sites[of].build(today, &mut self.rng);
        if self.sites[of].feed.own & !before != 0 {
            self.last_news = self.now;
        }
    }

    fn poll(&mut self, of: usize) {
        let jitter = self.rng.between(0, 3);
        self.plan(self.poll_every + jitter, Event::Poll(of));
        // The past is trimmed and the horizon moves at midnight.
        if self.sites[of].built_on != self.today() {
            self.build(of);
        }
        if self.service.paused[of] {
            return;
        }
        let outage = self.outages[of].filter(|(until, _)| *until > self.now).map(|(_, kind)| kind);
        let outage = outage.or_else(|| self.slips.percent(2).then_some(Outage::Lossy));
        // What two readings in a row lack is believed to be gone, and so is what lacked before a pause and lacks after it.
        let is_known = self.service.applied[of].is_some_and(|version| version < u64::MAX - 1);
        let again = self.now - self.slipped[of] <= 2 * self.poll_every + 10 || !is_known;
        let at_rest = self.now >= self.setting.days * DAY;
        let outage = outage.filter(|outage| *outage != Outage::Lossy || !again && !at_rest);
        let mut feed = Rc::clone(&self.sites[of].feed);
        match outage {
            Some(Outage::Fails) => return,
            // What was known before is held for as long as an outage lasts.
            Some(Outage::Empty) => {
                let own = feed.own & self.service.read[of];
                feed = Rc::new(Feed { version: u64::MAX, own, ..Feed::default() });
            }
            Some(Outage::Lossy) if !feed.sightings.is_empty() => {
                let mut lossy = (*feed).clone();
                let gone = self.rng.between(0, feed.sightings.len() as i64 - 1) as usize;
                let (_, first, end) = lossy.sightings.remove(gone);
                lossy.own &= !mask(first, end + 1) | self.service.read[of];
                lossy.version = u64::MAX - 1;
                self.slipped[of] = self.now;
                feed = Rc::new(lossy);
            }
            _ => {}
        }
        if !self.service.wants(of, feed.version) {
            return;
        }
        self.figures.takes += 1;
        // A worker may die before it commits.
        if self.rng.percent(2) {
            return;
        }
        if self.service.take(of, &feed, self.now, false) {
            self.watch_write(false);
            self.tell(|_| {
                let events: Vec<String> = feed
                    .sightings
                    .iter()
                    .map(|(shown, first, end)| {
                        let sign = match shown.sign {
                            Sign::None => "",
                            Sign::Reservation => "!",
                            Sign::Ours => "~",
                        };
                        let late = if shown.late { "+" } else { "" };
                        format!("{sign}{first}-{end}{late}")
                    })
                    .collect();
                format!("feed {of} read: {}", events.join(" "))
            });
            self.tell_decisions();
        }
        for conflict in std::mem::take(&mut self.service.opened_conflicts) {
            self.figures.conflicts += 1;
            if self.setting.races {
                self.plan_pauses(&conflict);
            }
            if self.setting.extras && self.rng.percent(60) {
                let after = self.rng.between(10, 20 * HOUR);
                self.plan(after, Event::SayGone(conflict.blocks.clone()));
            }
            if !self.is_real(&conflict) {
                self.figures.false_conflicts += 1;
                let of_blocks =
                    conflict.blocks.iter().map(|block| self.service.connection_of(block)).collect::<Vec<_>>();
                self.tell(|_| format!("FALSE CONFLICT of connections {of_blocks:?} on {:?}", conflict.nights));
            }
        }
        // The queue may deliver twice.
        if self.rng.percent(2) {
            let (claims, blocks) = (self.service.claims.clone(), self.service.blocks.clone());
            self.service.take(of, &feed, self.now, true);
            let changed = [claims != self.service.claims, blocks != self.service.blocks];
            if changed.contains(&true) {
                let when = self.when();
                self.tell(|world| {
                    format!(
                        "before {claims:#?}\n{blocks:#?}\nafter {:#?}\n{:#?}",
                        world.service.claims, world.service.blocks
                    )
                });
                self.figures
                    .fail(format!("seed {}, {when}: a second delivery changed claims, blocks: {changed:?}", self.seed));
            }
        }
        self.follow();
    }

    fn tell_decisions(&mut self) {
        for decision in std::mem::take(&mut self.service.decisions) {
            self.tell(|world| {
                let of = world.service.ids.iter().position(|id| *id == decision.connection).unwrap_or(99);
                let (first, end) = (decision.nights.first(), decision.nights.end());
                let (first, end) = (super::service::night_of(first), super::service::night_of(end));
                format!("   connection {of}, {first}-{end}: {:?}", decision.finding)
            });
        }
    }

    /// Exports follow a change: at once, or late where a worker died.
    fn follow(&mut self) {
        self.watch_races();
        if self.service.dirty {
            let after = if self.rng.percent(3) { self.rng.between(2, 150) } else { 1 };
            self.plan(after, Event::Publish);
        }
        if let Some(wake_at) = self.service.wake_at.filter(|wake_at| *wake_at > self.now && self.wake != Some(*wake_at))
        {
            self.wake = Some(wake_at);
            self.plan(wake_at - self.now, Event::Wake);
        }
    }

    fn read_link(&mut self, of: usize) {
        let habits = self.sites[of].habits.clone();
        let Some(every) = habits.reads_every else { return };
        let jitter = self.rng.between(-(every / 10), every / 10);
        self.plan((every + jitter).max(1), Event::Read(of));
        if let Some(other) = habits.linked_to {
            let shown = self.sites[other].shown();
            if shown != *self.sites[of].linked {
                self.plan(habits.import_lag, Event::Link(of, Rc::new(shown)));
            }
        }
        if self.revoked_until[of] <= self.now {
            self.read_once(of);
        }
    }

    fn read_once(&mut self, of: usize) {
        if self.service.links[of].is_missing {
            return;
        }
        let cached = self.rng.percent(50);
        let events = self.service.serve(of, self.now, cached);
        // A link that follows a change late, or was cached, is recorded as read all the same, and it is not always known
        // when it was put.
        self.note_carried(of);
        for night in 0..128 {
            let lately = self.carried_at[of][night].is_some_and(|at| self.now - at <= DAY);
            self.may_have_got[of] |= u128::from(lately) << night;
        }
        for night in bits(events.iter().fold(0, |all, event| all | mask(event.first, event.end))) {
            self.got_at[of][night as usize] = Some(self.now);
        }
        if self.setting.complete_record {
            self.service.links[of].reads.push((self.now, self.now));
        } else if self.rng.percent(80) {
            let late = self.rng.between(5, 90);
            self.service.links[of].reads.push((self.now, self.now + late));
        }
        if events != self.sites[of].imported {
            let lag = self.sites[of].habits.import_lag;
            self.plan(lag, Event::Import(of, events));
        }
    }

    // ---- guests and hosts ----------------------------------------------------------------------------------------

    fn some_site(&mut self) -> usize {
        let of = self.rng.between(0, self.sites.len() as i64 - 1) as usize;
        self.sites[of].habits.mirrors.unwrap_or(of)
    }

    /// Where the next guest looks.
    fn some_shop(&mut self) -> usize {
        let of = self.rng.between(0, self.sites.len() as i64 - 1) as usize;
        if self.sites[of].habits.sells { of } else { self.sites[of].habits.mirrors.unwrap_or(of) }
    }

    fn book(&mut self) {
        let of = self.some_shop();
        let window = self.sites[of].habits.horizon.min(50);
        for _ in 0..6 {
            let first = self.today() + 1 + self.rng.between(0, window - 8);
            let end = first + self.rng.between(1, 6);
            let late = self.sites[of].habits.late && self.rng.percent(30);
            let stay = Stay { id: self.next_stay + 1, first, end, booked: true, late, mirrored: false };
            if stay.mask() & self.sites[of].taken() != 0 {
                continue;
            }
            self.next_stay += 1;
            self.figures.stays += 1;
            let others = self.held_by_others(of) & stay.mask();
            if others != 0 {
                self.figures.double_bookings += 1;
                let habits = &self.sites[of].habits;
                let slow = habits.reads_every.filter(|_| habits.has_link);
                let slow = slow.map(|every| every + habits.import_lag + HOUR);
                let known = (0..128).filter(|night| others >> night & 1 == 1).any(|night| {
                    self.known_since[of][night].zip(slow).is_some_and(|(since, slow)| self.now - since > slow)
                });
                if known {
                    self.figures.avoidable += 1;
                }
            }
            self.tell(|_| {
                format!("a guest books {first}-{end} at site {of}{}", if others != 0 { ", DOUBLE" } else { "" })
            });
            self.sites[of].stays.push(stay);
            self.plan_build(of);
            self.plan_mirrors(of);
            self.plan_race(first, end);
            return;
        }
    }

    fn plan_mirrors(&mut self, origin: usize) {
        let mirrors: Vec<usize> =
            (0..self.sites.len()).filter(|of| self.sites[*of].habits.mirrors == Some(origin)).collect();
        for of in mirrors {
            self.plan_build(of);
        }
    }

    fn some_stay(&mut self, booked: bool) -> Option<(usize, usize)> {
        let today = self.today();
        let all: Vec<(usize, usize)> = self
            .sites
            .iter()
            .enumerate()
            .flat_map(|(of, site)| site.stays.iter().enumerate().map(move |(at, stay)| (of, at, stay)))
            .filter(|(_, _, stay)| stay.booked == booked && stay.first > today && !stay.mirrored)
            .map(|(of, at, _)| (of, at))
            .collect();
        if all.is_empty() { None } else { Some(*self.rng.pick(&all)) }
    }

    fn cancel(&mut self) {
        let Some((of, at)) = self.some_stay(true) else { return };
        let stay = self.sites[of].stays.remove(at);
        self.tell(|_| format!("{}-{} is cancelled at site {of}", stay.first, stay.end));
        self.plan_build(of);
        self.plan_mirrors(of);
    }

    fn move_stay(&mut self) {
        let Some((of, at)) = self.some_stay(true) else { return };
        let stay = self.sites[of].stays[at];
        let first = (stay.first + self.rng.between(-2, 2)).max(self.today() + 1);
        let end = first + (stay.end - stay.first + self.rng.between(-1, 1)).max(1);
        let free = !(self.sites[of].taken() & !stay.mask());
        let moved = Stay { first, end, ..stay };
        if moved.mask() & !free == 0 {
            self.sites[of].stays[at] = moved;
            self.tell(|_| format!("{}-{} moves to {first}-{end} at site {of}", stay.first, stay.end));
            self.plan_build(of);
            self.plan_mirrors(of);
        }
    }

    /// The host closes nights by hand, often such as are imported already.
    fn close(&mut self) {
        let of = self.some_site();
        let imported: Vec<(i64, i64)> = self.sites[of].imported.iter().map(|event| (event.first, event.end)).collect();
        let ahead: Vec<(i64, i64)> = imported.into_iter().filter(|(first, _)| *first > self.today()).collect();
        let (first, end) = if !ahead.is_empty() && self.rng.percent(60) {
            *self.rng.pick(&ahead)
        } else {
            let first = self.today() + 1 + self.rng.between(0, 25);
            (first, first + self.rng.between(1, 5))
        };
        if mask(first, end) & self.sites[of].own() != 0 || first > self.today() + 60 {
            return;
        }
        self.next_stay += 1;
        self.sites[of].stays.push(Stay { id: self.next_stay, first, end, booked: false, late: false, mirrored: false });
        self.tell(|_| format!("the host closes {first}-{end} at site {of}"));
        self.plan_build(of);
        self.plan_mirrors(of);
    }

    fn open(&mut self) {
        let Some((of, at)) = self.some_stay(false) else { return };
        let stay = self.sites[of].stays.remove(at);
        self.tell(|_| format!("the host opens {}-{} at site {of}", stay.first, stay.end));
        self.plan_build(of);
        self.plan_mirrors(of);
    }

    fn pause(&mut self) {
        let of = self.rng.between(0, self.sites.len() as i64 - 1) as usize;
        self.pause_one(of);
        // Some hosts pause several at once.
        if self.setting.extras && self.rng.percent(50) {
            (0..self.sites.len()).filter(|other| other % 2 == of % 2).for_each(|other| self.pause_one(other));
        }
    }

    fn begin_pause(&mut self, of: usize) {
        (self.stood[of], self.paused_at[of]) = (self.service.surely_held(of), self.now);
        self.service.pause(of, true, self.now);
    }

    fn pause_one(&mut self, of: usize) {
        if self.service.paused[of] {
            return;
        }
        self.begin_pause(of);
        self.tell(|_| format!("connection {of} is paused"));
        self.follow();
        let long = self.rng.between(HOUR, 30 * HOUR);
        let long = long.min(self.setting.days * DAY - self.now).max(1);
        self.plan(long, Event::Resume(of));
    }

    /// The host blocks time here, or opens it again.
    fn change_own(&mut self) {
        if !self.host.is_empty() && self.rng.percent(40) {
            let at = self.rng.between(0, self.host.len() as i64 - 1) as usize;
            let (id, taken) = self.host.remove(at);
            self.service.remove_own(&id, self.now);
            self.tell(|_| format!("the host's own {:?} is opened", super::site::runs(taken)));
            self.follow();
            return;
        }
        let stays: Vec<(BlockId, i64)> = self.service.late_stays(self.today());
        let first = self.today() + 1 + self.rng.between(0, 30);
        let hour = |night: i64, hour: i64| super::service::at(night * DAY + hour * HOUR);
        let (extent, extends) = match self.rng.between(0, 3) {
            0 if !stays.is_empty() => {
                let (id, end) = self.rng.pick(&stays).clone();
                (Extent::Times(Times::new(hour(end, 11), hour(end, 18)).unwrap()), Some(id))
            }
            // Somebody comes to clean: no night is taken.
            1 => (Extent::Times(Times::new(hour(first, 12), hour(first, 14)).unwrap()), None),
            _ => (Extent::Nights(super::service::nights(first, first + self.rng.between(1, 4))), None),
        };
        let (id, taken) = self.service.add_own(extent, extends, self.now);
        self.host.push((id, taken));
        self.tell(|_| format!("the host blocks {:?} here", super::site::runs(taken)));
        self.follow();
    }

    /// A link is made anew: the old one is kept alive for a week, or revoked at once.
    fn rotate(&mut self) {
        let of = self.rng.between(0, self.sites.len() as i64 - 1) as usize;
        let Some(every) = self.sites[of].habits.reads_every.filter(|_| self.sites[of].habits.has_link) else { return };
        if self.rng.percent(50) {
            self.revoked_until[of] = self.now + self.rng.between(10, 20 * HOUR);
            self.tell(|world| format!("link {of} is revoked, the new one read from {} on", world.revoked_until[of]));
        } else {
            let until = self.now + 7 * DAY;
            self.plan(every / 2 + 1, Event::ReadOld(of, until));
            self.tell(|_| format!("link {of} is rotated; both are read for a week"));
        }
    }

    /// The host says that a stay of a conflict is gone: mostly after cancelling it, sometimes by mistake.
    fn say_gone(&mut self, blocks: &[BlockId]) {
        let block = blocks[self.rng.between(0, blocks.len() as i64 - 1) as usize].clone();
        let Some((of, taken)) = self.service.nights_of_block(&block) else { return };
        self.ever_gone[of] |= taken;
        if self.rng.percent(75) {
            let today = self.today();
            self.sites[of].stays.retain(|stay| stay.first <= today || stay.mask() & taken == 0);
            self.plan_build(of);
            self.plan_mirrors(of);
        }
        self.service.said_gone(&block, self.now);
        self.tell(|_| format!("the host says that {:?} of connection {of} is gone", super::site::runs(taken)));
        self.tell_decisions();
        self.follow();
    }

    fn begin_outage(&mut self) {
        let of = self.rng.between(0, self.sites.len() as i64 - 1) as usize;
        let (kind, long) = match self.rng.between(0, 3) {
            0 | 1 => (Outage::Fails, self.rng.between(20, 30 * HOUR)),
            2 => (Outage::Empty, self.rng.between(20, 20 * HOUR)),
            _ => (Outage::Lossy, self.rng.between(5, 25)),
        };
        // Two in a row would last longer than a hold.
        if self.outages[of].is_some_and(|(until, _)| until + 26 * HOUR > self.now) {
            return;
        }
        let until = (self.now + long).min(self.setting.days * DAY);
        self.outages[of] = Some((until, kind));
        self.tell(|_| format!("feed {of} {kind:?} for {long} minutes"));
    }

    // ---- what is watched -----------------------------------------------------------------------------------------

    /// Nights that other sites really hold.
    fn held_by_others(&self, of: usize) -> Mask {
        let others = self.sites.iter().enumerate().filter(|(other, _)| *other != of);
        others.fold(self.hosts_own(), |all, (_, site)| all | site.held())
    }

    /// Nights that the host's own blocks take.
    fn hosts_own(&self) -> Mask {
        self.host.iter().fold(0, |all, (_, taken)| all | taken)
    }

    /// Of these, what the latest good readings show, of connections that count.
    fn known_of_others(&self, of: usize) -> Mask {
        let others = self.sites.iter().enumerate().filter(|(other, _)| *other != of);
        let active = others.filter(|(other, _)| !self.service.paused[*other]);
        active.fold(self.hosts_own(), |all, (other, site)| all | site.held() & self.service.read[other])
    }

    /// Nights that somebody may hold, for all that a link need say: a site that counts a night too many included.
    fn truth(&self) -> Mask {
        let all = self.sites.iter().fold(self.hosts_own(), |all, site| all | site.own());
        let all = (0..self.turnover).fold(all, |all, _| all | all << 1);
        if self.sites.iter().any(|site| site.habits.echo == Echo::Rounded) { all | all << 1 } else { all }
    }

    /// Whether two of its stays are held, by two different sites or by one and the host.
    fn is_real(&self, conflict: &Conflict) -> bool {
        let nights = |block: &BlockId| -> Mask {
            let clashing = conflict.nights.into_iter().flat_map(Nights::iter).map(super::service::night_of);
            let clashing = clashing.fold(0, |all, night| all | mask(night, night + 1));
            if clashing != 0 { clashing } else { self.service.nights_of_block(block).map_or(0, |(_, nights)| nights) }
        };
        let holder = |block: &BlockId| {
            let of = self.service.connection_of(block);
            let repeats = |of: &usize| self.sites[*of].held() & nights(block) == 0;
            let of = of.map(|of| self.sites[of].habits.mirrors.filter(|_| repeats(&of)).unwrap_or(of));
            // What the host blocked here is always meant.
            let is_held = of.is_none_or(|of| (self.sites[of].own() | self.service.read[of]) & nights(block) != 0);
            (of, is_held)
        };
        let held = conflict.blocks.iter().map(holder).filter(|(_, is_held)| *is_held);
        held.map(|(of, _)| of).collect::<BTreeSet<_>>().len() > 1
    }

    /// Measures the time that passes until the next event.
    fn watch(&mut self, long: Minute) {
        if long == 0 {
            return;
        }
        if self.is_quiet() && self.setting.cause.is_none() {
            self.figures.quiet += long;
        }
        let ahead = self.ahead();
        for of in 0..self.sites.len() {
            if !self.sites[of].habits.has_link || self.service.paused[of] {
                continue;
            }
            let known = self.known_of_others(of) & ahead;
            let closed = self.sites[of].closed();
            self.had_imported[of] = (self.had_imported[of] | closed) & known;
            if self.sites[of].habits.reads_every.is_some() {
                let on_sale = known & !self.sites[of].taken();
                self.figures.on_sale += long * i64::from(on_sale.count_ones());
                self.figures.freed_again += long * i64::from((on_sale & self.had_imported[of]).count_ones());
            }
            let gaps = known & !self.sites[of].taken() & !self.service.links[of].nights;
            for night in bits(gaps) {
                if let Some(gap) = self.gap(of, night) {
                    *self.figures.gaps.entry(gap).or_default() += long;
                }
            }
        }
    }

    fn note_carried(&mut self, of: usize) {
        // A minute has no order.
        let is_read_now = self.service.links[of].reads.last().is_some_and(|(read, _)| *read == self.now);
        for night in bits(self.service.links[of].nights | self.service.claimed_by_others(of)) {
            self.carried_at[of][night as usize] = Some(self.now);
            self.may_have_got[of] |= u128::from(is_read_now) << night;
        }
    }

    /// A pause makes nothing less sure, or a double booking that was told would be over by a pause.
    fn watch_resumption(&mut self, of: usize) {
        self.was_long_paused[of] |= self.now - self.paused_at[of] >= DAY;
        for night in bits(self.stood[of] & !self.ever_gone[of] & self.ahead()) {
            self.figures.races += 1;
            if self.service.standing(of, night).is_some_and(|standing| standing != Standing::Certain) {
                let (when, seed) = (self.when(), self.seed);
                self.figures
                    .fail(format!("seed {seed}, {when}: night {night} of site {of} is less sure after a pause"));
            }
        }
    }

    /// Where every read is recorded: what a site holds that never got the night from its link is certain, or a double
    /// booking would pass for an echo. What a site only shows because it got it within a day is not, unless it stood when
    /// it was asked, or an echo would pass for a double booking.
    fn watch_races(&mut self) {
        if !self.setting.complete_record {
            return;
        }
        let ahead = self.ahead();
        (0..self.sites.len()).for_each(|of| self.note_carried(of));
        for of in 0..self.sites.len() {
            if self.service.paused[of] || !self.sites[of].habits.has_feed {
                continue;
            }
            // What a body of before a long pause shows may be over, and a turnover night goes with what was cut.
            let is_fresh = !self.was_long_paused[of] && self.turnover == 0;
            let (read, gone) = (self.service.read[of], self.ever_gone[of]);
            for night in bits(ahead & !gone) {
                let got_at = self.got_at[of][night as usize];
                let holds = (self.sites[of].own() & read) >> night & 1 == 1;
                let repeats = self.ever_held[of] >> night & 1 == 0
                    && self.sites[of].habits.echo != Echo::Rounded
                    && self.service.shows(of, night);
                let wrong = if holds && self.may_have_got[of] >> night & 1 == 0 {
                    let others = (0..self.sites.len()).filter(|other| *other != of && !self.service.paused[*other]);
                    let mut others =
                        others.filter(|other| self.service.standing(*other, night) == Some(Standing::Certain));
                    self.figures.races += u64::from(others.next().is_some());
                    self.service.standing(of, night).is_some_and(|standing| standing != Standing::Certain)
                } else if repeats && is_fresh && got_at.is_some_and(|got_at| self.now - got_at <= DAY) {
                    self.figures.repeats += 1;
                    self.service.is_certain_unasked(of, night)
                } else {
                    continue;
                };
                if wrong && self.setting.cause != Some(Cause::LinkedDirectly) {
                    let (when, seed) = (self.when(), self.seed);
                    let what =
                        if holds { "held, and passes for an echo" } else { "got from its link, and passes for a stay" };
                    self.figures.fail(format!("seed {seed}, {when}: night {night} of site {of} is {what}"));
                }
            }
        }
    }

    /// Why a night that another site holds is not on a link; none where nothing excuses it.
    fn gap(&self, of: usize, night: i64) -> Option<Gap> {
        if self.hosts_own() >> night & 1 == 1 {
            return self.service.dirty.then_some(Gap::Unpublished);
        }
        if self.service.is_asked(of, night) {
            return Some(Gap::Asked);
        }
        let holders = (0..self.sites.len()).filter(|other| {
            *other != of
                && !self.service.paused[*other]
                && (self.sites[*other].own() & self.service.read[*other]) >> night & 1 == 1
        });
        let standings: Vec<Option<Standing>> =
            holders.clone().map(|other| self.service.standing(other, night)).collect();
        if standings.iter().all(|standing| standing.is_none_or(|standing| standing == Standing::Echo)) {
            let is_taken_for_echo =
                |other| self.service.standing(other, night).is_some() || self.service.let_go[other] >> night & 1 == 1;
            return holders.clone().all(is_taken_for_echo).then_some(Gap::Hidden);
        }
        if self.service.dirty {
            return Some(Gap::Unpublished);
        }
        // Beside a reservation by its own text nobody is a witness.
        let is_certain = self.service.standing(of, night) == Some(Standing::Certain);
        let is_evident = holders.clone().any(|other| self.service.shows_reservation(other, night));
        (is_certain && !is_evident).then_some(Gap::Witness)
    }

    /// After every step.
    fn check(&mut self) {
        let ahead = self.ahead();
        let truth = self.truth();
        let mut wrong = false;
        for of in 0..self.sites.len() {
            let known = self.known_of_others(of) & ahead;
            for night in bits(known ^ self.known[of]) {
                self.known_since[of][night as usize] = (known >> night & 1 == 1).then_some(self.now);
            }
            self.known[of] = known;
            if !self.sites[of].habits.has_link || self.service.paused[of] {
                continue;
            }
            let link = self.service.links[of].nights;
            let own = self.sites[of].own();
            let missing = known & !own & !link;
            for night in bits(missing) {
                let gap = self.gap(of, night);
                // What only came into view is not late yet.
                wrong |= gap != Some(Gap::Unpublished) && self.sites[of].closed() >> night & 1 == 0;
                if gap.is_none() {
                    let when = self.when();
                    self.figures.fail(format!(
                        "seed {}, {when}: night {night} is held, and link {of} does not show it",
                        self.seed
                    ));
                }
            }
            let phantoms = link & !truth & ahead;
            wrong |= phantoms != 0;
            for night in bits(phantoms ^ self.phantoms[of]) {
                let slot = &mut self.phantom_since[of][night as usize];
                if phantoms >> night & 1 == 1 {
                    *slot = Some(self.now);
                } else if let Some(since) = slot.take()
                    && link >> night & 1 == 0
                    && night > self.now / DAY
                    && self.setting.cause.is_none()
                {
                    self.figures.phantoms.push(self.now - since);
                }
            }
            self.phantoms[of] = phantoms;
        }
        if wrong {
            self.last_wrong = self.now;
        }
    }

    /// Within so long every link tells the truth once nothing changes any more: a mass vanish, then every site asked
    /// twice, one after the other; and before that a week, in which what had begun when it was cancelled departs.
    fn bound(&self) -> Minute {
        let answer = |site: &Site| {
            let habits = &site.habits;
            let known = habits.reads_every.filter(|_| habits.cadence_is_known).unwrap_or(DAY);
            let read = habits.reads_every.filter(|_| self.setting.complete_record).map(|every| every * 11 / 10);
            // One that is slow to follow its link is learned of by doubling.
            let settle = 4 * HOUR + 4 * habits.import_lag;
            let polls = 3 * (self.poll_every + 3);
            read.map_or(4 * known, |read| read + settle) + habits.import_lag + habits.feed_every + polls
        };
        let answers: Minute = self.sites.iter().filter(|site| site.habits.has_link).map(answer).sum();
        8 * DAY + 2 * answers
    }

    /// Turnover nights that every link has to show: after reservations that can't be taken for an echo.
    fn turnovers(&self) -> Mask {
        let sites = self.sites.iter().enumerate().filter(|(_, site)| {
            site.habits.marks && site.habits.tells_apart && site.habits.has_feed && site.habits.mirrors.is_none()
        });
        let stays = sites.flat_map(|(of, site)| site.stays.iter().map(move |stay| (of, stay)));
        // Feeds may drop who departed; the nights after are kept free all the same.
        let ahead = !mask(0, self.today());
        let known = stays.filter(|(of, stay)| stay.booked && stay.mask() & ahead & !self.service.read[*of] == 0);
        known.fold(0, |all, (_, stay)| all | mask(stay.taken_until(), stay.taken_until() + i64::from(self.turnover)))
    }

    fn finish(&mut self) {
        let ahead = self.ahead();
        let truth = self.truth();
        let is_decidable = self.setting.cause.is_none();
        if is_decidable {
            self.figures.settled_after = (self.last_wrong - self.setting.days * DAY).max(0);
        }
        let bound = self.bound();
        if self.figures.settled_after > bound {
            let after = self.figures.settled_after / HOUR;
            self.figures.fail(format!("seed {}: at rest only after {after} h, not {} h", self.seed, bound / HOUR));
        }
        let mut stuck = 0;
        for of in 0..self.sites.len() {
            if !self.sites[of].habits.has_link {
                continue;
            }
            let link = self.service.links[of].nights;
            let phantoms = link & !truth & ahead;
            let held = self.known_of_others(of) & !self.sites[of].taken() | self.turnovers();
            let missing = held & ahead & !link;
            stuck |= phantoms;
            let phantoms = if is_decidable { phantoms } else { 0 };
            self.figures.stuck += u64::from(phantoms.count_ones());
            self.figures.missing += u64::from(missing.count_ones());
            if phantoms | missing != 0 {
                self.figures.trouble.push(format!(
                    "seed {}: at the end link {of} shows {:?} that nobody holds, and misses {:?}",
                    self.seed,
                    super::site::runs(phantoms),
                    super::site::runs(missing),
                ));
            }
        }
        let phantoms = self.service.taken() & !truth & ahead;
        if let Some(cause) = self.setting.cause {
            let stuck_nights = u64::from((phantoms | stuck).count_ones());
            let stuck_worlds = u64::from(stuck_nights > 0);
            let idle_writes = std::mem::take(&mut self.figures.idle_writes);
            let undecided = Undecided { worlds: 1, stuck_worlds, stuck_nights, idle_writes };
            self.figures.undecided.insert(cause, undecided);
        } else if phantoms != 0 {
            self.figures.stuck += u64::from(phantoms.count_ones());
            self.figures.trouble.push(format!(
                "seed {}: we take {:?} for taken",
                self.seed,
                super::site::runs(phantoms)
            ));
        }
    }
}

/// The set bits.
fn bits(mut mask: Mask) -> impl Iterator<Item = i64> {
    std::iter::from_fn(move || {
        let night = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (night < 128).then_some(i64::from(night))
    })
}

fn text(events: &[Imported]) -> String {
    let all: Vec<String> = events.iter().map(|event| format!("{}-{}", event.first, event.end)).collect();
    all.join(" ")
}
