//! Reads of private links, on the disk before their readers are answered, and told to the store later: many of a link
//! together, at the latest when somebody asks who read it.
//!
//! A file takes them, one line each, so that a read costs no transaction. Whoever weighs a change asks this room, which
//! first tells the store all that is at hand of the links in question: nothing that was answered before is missing then,
//! also after a kill. The store knows a read that it is told twice.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use calmesh_app::{
    model::{ExtraLink, LinkOwner, LinkReads, ReadTimes, SecretHash},
    ports::{LinkStore, Page, PageRequest, StoreError},
};
use calmesh_calendar::{AccountId, LinkId};
use calmesh_lambda_kit::telemetry::chain;
use jiff::Timestamp;

use crate::{
    embedded::writer::{Writer, Writes},
    no_links::NoLinks,
};

/// The first line of the file. A later form has another number.
const FORM: &str = "calmesh-reads/1";
/// The file grows by so much, filled with line ends: a line that is written into it changes no length, which would cost a
/// sync as much again.
const GROWS_BY: usize = 256 << 10;
/// So many reads of one link wait; then they are told.
const OF_ONE_LINK: usize = 120;
/// More of them say nothing more, where the store does not take them.
const MOST_OF_ONE_LINK: usize = 1_000;
/// So many reads wait in all; then all are told.
const IN_ALL: usize = 20_000;
/// No read waits for longer than about this.
const TOLD_EVERY: Duration = Duration::from_secs(3600);

/// Why the file of reads can't be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadsError {
    #[error("{} can't be read or written: give this user the right to, or start on another folder with --data", file.display())]
    NotUsable {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{} was written by a later calmesh, or by none: start that one, or put back the copy from your backup",
        .0.display()
    )]
    OfAnotherForm(PathBuf),
}

/// Reads that the store was not told yet.
#[derive(Default)]
struct AtHand {
    of_links: HashMap<SecretHash, BTreeSet<Timestamp>>,
    in_all: usize,
}

impl AtHand {
    /// Answers how many there are of this link.
    fn add(&mut self, link: SecretHash, at: Timestamp) -> usize {
        let times = self.of_links.entry(link).or_default();
        if times.insert(at) {
            self.in_all = self.in_all.saturating_add(1);
        }
        times.len()
    }

    fn of(&self, link: &SecretHash) -> usize {
        self.of_links.get(link).map_or(0, BTreeSet::len)
    }

    fn take(&mut self, link: &SecretHash) -> Option<BTreeSet<Timestamp>> {
        let times = self.of_links.remove(link)?;
        self.in_all = self.in_all.saturating_sub(times.len());
        Some(times)
    }
}

/// The store's links, with the reads that it was not told yet. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reads {
    store: Arc<dyn LinkStore>,
    at_hand: Arc<Mutex<AtHand>>,
    no_links: Arc<NoLinks>,
    /// Held while reads are on their way to the store: who asks then waits for them.
    telling: Arc<tokio::sync::Mutex<()>>,
    book: Writer<Keeper>,
}

/// What is asked of the file.
enum Entry {
    Read(SecretHash, Timestamp),
    /// Forgets what is not at hand any more.
    Tidy,
}

impl Reads {
    /// Takes up what an earlier run left in the file, which is made where it is missing.
    ///
    /// # Errors
    /// When it can't be read or written, or is of another form.
    pub(crate) fn open(file: &Path, store: Arc<dyn LinkStore>) -> Result<Self, ReadsError> {
        let not_usable = |source| ReadsError::NotUsable { file: file.to_owned(), source };
        let found = match fs::read(file) {
            Ok(bytes) => read(&bytes).ok_or_else(|| ReadsError::OfAnotherForm(file.to_owned()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => AtHand::default(),
            Err(error) => return Err(not_usable(error)),
        };
        let book = Book::begin(file, &found).map_err(not_usable)?;
        let at_hand = Arc::new(Mutex::new(found));
        let book = Writer::start(Keeper { book, at_hand: at_hand.clone() });
        Ok(Self { store, at_hand, no_links: Arc::default(), telling: Arc::default(), book: book.map_err(not_usable)? })
    }

    /// Takes down a read: it is on the disk when this returns.
    ///
    /// # Errors
    /// When it is not. It is at hand all the same, until this process ends.
    pub(crate) async fn note(&self, link: &SecretHash, at: Timestamp) -> io::Result<()> {
        let (of_link, in_all) = {
            let mut at_hand = locked(&self.at_hand);
            if at_hand.of(link) >= MOST_OF_ONE_LINK {
                return Ok(());
            }
            (at_hand.add(*link, at), at_hand.in_all)
        };
        let noted = self.book.write(Entry::Read(*link, at)).await.flatten();
        if of_link == OF_ONE_LINK {
            let (reads, link) = (self.clone(), *link);
            drop(tokio::spawn(async move { reads.tell_or_warn(&[link]).await }));
        } else if in_all.is_multiple_of(IN_ALL) {
            let reads = self.clone();
            drop(tokio::spawn(async move { reads.tell_all().await }));
        }
        noted
    }

    /// Tells the store what is at hand of these links, and returns when it knows.
    ///
    /// # Errors
    /// When the store did not take it. It stays at hand.
    async fn tell(&self, links: &[SecretHash]) -> Result<(), StoreError> {
        let _telling = self.telling.lock().await;
        for link in links {
            let Some(times) = locked(&self.at_hand).take(link) else { continue };
            // Not lost where this is given up in between.
            let mut back = PutBack { reads: self, link: *link, times };
            self.store.record_reads(link, &back.times).await?;
            back.times.clear();
        }
        Ok(())
    }

    async fn tell_or_warn(&self, links: &[SecretHash]) {
        if let Err(error) = self.tell(links).await {
            tracing::warn!(error = chain(&error), "reads were not recorded; they are told later");
        }
    }

    /// Tells the store all that is at hand, and empties the file.
    pub(crate) async fn tell_all(&self) {
        let links: Vec<SecretHash> = locked(&self.at_hand).of_links.keys().copied().collect();
        if links.is_empty() {
            return;
        }
        // One by one: whoever asks for one of them waits for no more than one other.
        for link in links {
            self.tell_or_warn(&[link]).await;
        }
        // What is on its way is neither at hand nor in the store.
        let _telling = self.telling.lock().await;
        if let Err(error) = self.book.write(Entry::Tidy).await.flatten() {
            tracing::warn!(%error, "the reads that were recorded stay in their file; the next round tries again");
        }
    }

    /// Tells all that is at hand once in a while. Never ends.
    pub(crate) async fn tell_regularly(self) {
        loop {
            self.tell_all().await;
            tokio::time::sleep(TOLD_EVERY).await;
        }
    }
}

/// Reads on their way, which are at hand again where they did not arrive.
struct PutBack<'a> {
    reads: &'a Reads,
    link: SecretHash,
    times: BTreeSet<Timestamp>,
}

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        if !self.times.is_empty() {
            let mut at_hand = locked(&self.reads.at_hand);
            for at in &self.times {
                at_hand.add(self.link, *at);
            }
        }
    }
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reads")
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds such a lock can panic.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file. Lines are written one after the other; what is no line of ours counts as nothing.
struct Book {
    path: PathBuf,
    file: File,
    /// Where the next line goes.
    at: u64,
    /// Line ends that lie ahead.
    ahead: usize,
}

impl Book {
    fn begin(path: &Path, known: &AtHand) -> io::Result<Self> {
        let (file, at) = fresh(path, known)?;
        Ok(Self { path: path.to_owned(), file, at, ahead: GROWS_BY })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.ahead < line.len() {
            grow(&mut self.file, self.at)?;
            self.ahead = GROWS_BY;
        }
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            // A part of a line must not spoil the next one, which is written over it.
            self.file.seek(SeekFrom::Start(self.at))?;
            return Err(error);
        }
        self.at = self.at.saturating_add(u64::try_from(line.len()).unwrap_or_default());
        self.ahead = self.ahead.saturating_sub(line.len());
        Ok(())
    }

    /// Begins the file anew with what is at hand.
    fn replace(&mut self, known: &AtHand) -> io::Result<()> {
        *self = Self::begin(&self.path, known)?;
        Ok(())
    }
}

/// Who keeps the book.
struct Keeper {
    book: Book,
    at_hand: Arc<Mutex<AtHand>>,
}

impl Writes for Keeper {
    type Asked = Entry;
    type Answer = io::Result<()>;
    const SEEN_AT_ONCE: bool = true;

    fn write(&mut self, entry: Entry) -> io::Result<()> {
        match entry {
            Entry::Read(link, at) => self.book.write(&line(&link, at)),
            // Whatever is written after this is told after it, so it is at hand now.
            Entry::Tidy => self.book.replace(&locked(&self.at_hand)),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.book.file.sync_data()
    }
}

/// A new file, whole or not at all, that is on the disk when this returns; and where its next line goes.
fn fresh(path: &Path, known: &AtHand) -> io::Result<(File, u64)> {
    let beside = path.with_extension("new");
    let mut file = crate::folder::private_file(&beside)?;
    let mut text = format!("{FORM}\n");
    for (link, times) in &known.of_links {
        times.iter().for_each(|at| text.push_str(&line(link, *at)));
    }
    file.write_all(text.as_bytes())?;
    let at = file.stream_position()?;
    grow(&mut file, at)?;
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent() {
        crate::folder::sync_folder(folder)?;
    }
    Ok((file, at))
}

/// Writes line ends ahead of where the next line goes, and syncs the file's length.
fn grow(file: &mut File, at: u64) -> io::Result<()> {
    let grown = file.write_all(&[b'\n'; GROWS_BY]).and_then(|()| file.sync_all());
    file.seek(SeekFrom::Start(at))?;
    grown
}

/// Link, milliseconds since 1970, checksum of both.
fn line(link: &SecretHash, at: Timestamp) -> String {
    let said = format!("{} {}", link.to_hex(), at.as_millisecond());
    format!("{said} {:08x}\n", crc32fast::hash(said.as_bytes()))
}

fn parse(line: &str) -> Option<(SecretHash, Timestamp)> {
    let (said, sum) = line.rsplit_once(' ')?;
    let (link, at) = said.split_once(' ')?;
    let is_whole = format!("{:08x}", crc32fast::hash(said.as_bytes())) == sum;
    is_whole.then_some(())?;
    Some((SecretHash::from_hex(link)?, Timestamp::from_millisecond(at.parse().ok()?).ok()?))
}

/// What a file says; nothing where it is of another form. One that was cut off while it was made is empty.
fn read(bytes: &[u8]) -> Option<AtHand> {
    let mut found = AtHand::default();
    let mut lines = bytes.split(|byte| *byte == b'\n');
    if lines.next() != Some(FORM.as_bytes()) {
        return None;
    }
    for line in lines.filter(|line| !line.is_empty()) {
        // The last one may be torn; nobody was answered for it.
        match std::str::from_utf8(line).ok().and_then(parse) {
            Some((link, at)) => {
                found.add(link, at);
            }
            None => tracing::warn!("a line of the file of reads is no line of ours and counts as nothing"),
        }
    }
    Some(found)
}

#[async_trait]
impl LinkStore for Reads {
    async fn links(&self, account: &AccountId, page: PageRequest) -> Result<Page<ExtraLink>, StoreError> {
        if self.no_links.has_none(account) {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let (before, is_first) = (self.no_links.before(), page.after.is_none());
        let found = self.store.links(account, page).await?;
        if is_first && found.items.is_empty() && found.next.is_none() {
            self.no_links.found_none(account, before);
        }
        Ok(found)
    }

    async fn link(&self, id: &LinkId) -> Result<Option<ExtraLink>, StoreError> {
        self.store.link(id).await
    }

    async fn count_links(&self, account: &AccountId, most: usize) -> Result<usize, StoreError> {
        self.store.count_links(account, most).await
    }

    async fn put_link(&self, link: &ExtraLink) -> Result<(), StoreError> {
        self.no_links.gets_one(&link.account);
        self.store.put_link(link).await
    }

    async fn settle_link(
        &self,
        id: &LinkId,
        rendered_revision: u64,
        wake_at: Option<Timestamp>,
        last_changed_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.store.settle_link(id, rendered_revision, wake_at, last_changed_at).await
    }

    async fn delete_link(&self, id: &LinkId) -> Result<bool, StoreError> {
        self.store.delete_link(id).await
    }

    async fn owner(&self, token: &SecretHash) -> Result<Option<LinkOwner>, StoreError> {
        self.store.owner(token).await
    }

    async fn record_reads(&self, token: &SecretHash, times: &BTreeSet<Timestamp>) -> Result<(), StoreError> {
        self.store.record_reads(token, times).await
    }

    async fn reads(&self, tokens: &[SecretHash], now: Timestamp) -> Result<Vec<LinkReads>, StoreError> {
        self.tell(tokens).await?;
        self.store.reads(tokens, now).await
    }

    async fn read_times(&self, tokens: &[SecretHash]) -> Result<Vec<ReadTimes>, StoreError> {
        self.tell(tokens).await?;
        self.store.read_times(tokens).await
    }
}

#[cfg(test)]
mod tests {
    use calmesh_app::{
        contract::{a_link, an_account_stands, at, link_token},
        fakes::{MemoryStore, Moment},
    };

    use super::*;

    /// A store that knows the owners of two links, and the file beside it.
    async fn two_links() -> (tempfile::TempDir, PathBuf, Arc<MemoryStore>, [SecretHash; 2]) {
        let store = Arc::new(MemoryStore::new());
        an_account_stands(&*store, 1).await;
        for n in [1, 2] {
            store.put_link(&a_link(1, n)).await.unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("reads.log");
        (folder, file, store, [1, 2].map(|n| link_token(n).hash()))
    }

    fn open(file: &Path, store: &Arc<MemoryStore>) -> Reads {
        Reads::open(file, store.clone()).unwrap()
    }

    async fn times(store: &dyn LinkStore, link: &SecretHash) -> Vec<Timestamp> {
        store.read_times(&[*link]).await.unwrap().remove(0).times
    }

    #[tokio::test]
    async fn it_keeps_the_promises_of_the_store_that_it_stands_before() {
        let store = Arc::new(MemoryStore::new());
        let folder = tempfile::tempdir().unwrap();
        let reads = open(&folder.path().join("reads.log"), &store);
        calmesh_app::contract::link_store(&reads, &*store, &*store).await;
    }

    #[tokio::test]
    async fn a_read_costs_the_store_nothing_until_somebody_asks_who_read() {
        let (_folder, file, store, [one, other]) = two_links().await;
        let reads = open(&file, &store);
        let calls = store.calls();
        for second in 0..50 {
            reads.note(&one, at(second)).await.unwrap();
            reads.note(&other, at(second)).await.unwrap();
        }
        assert_eq!(store.calls(), calls);
        assert_eq!(times(&reads, &one).await, (0..50).map(at).collect::<Vec<_>>(), "who asks gets all of them");
        assert_eq!(store.calls(), calls + 2, "by one record of that link, and one look");
        assert_eq!(reads.reads(&[other], at(50)).await.unwrap()[0].reads_24h, 50);
        assert_eq!(times(&*store, &one).await.len(), 50, "and the store has them");
    }

    #[tokio::test]
    async fn what_was_noted_is_there_after_a_kill() {
        let (_folder, file, store, [one, other]) = two_links().await;
        for run in 0..3 {
            // Nothing is told, and nothing is closed.
            let reads = open(&file, &store);
            reads.note(&one, at(run)).await.unwrap();
            std::mem::forget(reads);
        }
        let reads = open(&file, &store);
        assert_eq!(times(&reads, &one).await, [0, 1, 2].map(at));
        assert_eq!(times(&reads, &other).await, []);
        reads.tell_all().await;
        std::mem::forget(reads);
        assert_eq!(times(&open(&file, &store), &one).await, [0, 1, 2].map(at), "told twice, it is the same read");
    }

    #[tokio::test]
    async fn a_read_that_the_store_did_not_take_is_told_again() {
        let (_folder, file, store, [one, _]) = two_links().await;
        let reads = open(&file, &store);
        reads.note(&one, at(1)).await.unwrap();
        for moment in [Moment::Before, Moment::After] {
            store.fail_call(1, moment);
            reads.read_times(&[one]).await.unwrap_err();
        }
        reads.note(&one, at(2)).await.unwrap();
        store.fail_next(1);
        reads.tell_all().await;
        assert_eq!(times(&reads, &one).await, [1, 2].map(at));
        assert_eq!(reads.reads(&[one], at(2)).await.unwrap()[0].reads_24h, 2);
    }

    #[tokio::test]
    async fn a_link_that_is_read_very_often_is_told_in_between_and_the_file_is_emptied() {
        let (_folder, file, store, [one, _]) = two_links().await;
        let reads = open(&file, &store);
        let storm = (0..5_000).map(|nth| {
            let reads = &reads;
            async move { reads.note(&one, at(0) + jiff::SignedDuration::from_millis(nth)).await.unwrap() }
        });
        futures::future::join_all(storm).await;
        let known = times(&reads, &one).await.len();
        assert!((OF_ONE_LINK..=5_000).contains(&known), "{known}");
        assert_eq!(locked(&reads.at_hand).in_all, 0);
        reads.note(&one, at(100)).await.unwrap();
        reads.tell_all().await;
        assert_eq!(fs::read(&file).unwrap().iter().filter(|byte| **byte != b'\n').count(), FORM.len());
        reads.note(&one, at(101)).await.unwrap();
        std::mem::forget(reads);
        assert_eq!(locked(&open(&file, &store).at_hand).in_all, 1, "and goes on");
    }

    #[tokio::test]
    async fn a_line_that_is_torn_or_damaged_takes_no_other_with_it() {
        let (_folder, file, store, [one, other]) = two_links().await;
        let reads = open(&file, &store);
        reads.note(&one, at(1)).await.unwrap();
        reads.note(&other, at(2)).await.unwrap();
        drop(reads);
        let whole = fs::read(&file).unwrap();
        let end = FORM.len() + 1 + line(&one, at(1)).len() + line(&other, at(2)).len();
        for cut in FORM.len() + 1..end {
            let mut damaged = whole.clone();
            damaged[cut] ^= 0x55;
            fs::write(&file, &damaged).unwrap();
            let found = open(&file, &store);
            // Where the damage is a line end, two lines are one.
            let left = locked(&found.at_hand).in_all;
            let lost_both = cut == FORM.len() + line(&one, at(1)).len();
            assert_eq!(left, usize::from(!lost_both), "byte {cut}");
            damaged.truncate(cut);
            fs::write(&file, &damaged).unwrap();
            let found = open(&file, &store);
            let in_first = cut < FORM.len() + line(&one, at(1)).len();
            // Without its line end alone, a line is whole.
            let whole = usize::from(!in_first) + usize::from(cut == end - 1);
            assert_eq!(locked(&found.at_hand).in_all, whole, "cut at byte {cut}");
        }
    }

    #[tokio::test]
    async fn a_file_of_a_later_form_is_refused_in_words() {
        let (_folder, file, store, _) = two_links().await;
        for other in ["calmesh-reads/2\n", "", "\0\0\0\0"] {
            fs::write(&file, other).unwrap();
            let refused = Reads::open(&file, store.clone()).unwrap_err();
            assert!(refused.to_string().contains("later calmesh"), "{refused}");
            assert_eq!(fs::read(&file).unwrap(), other.as_bytes(), "and left as it is");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_file_is_closed_to_others() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, file, store, [one, _]) = two_links().await;
        let reads = open(&file, &store);
        reads.note(&one, at(1)).await.unwrap();
        reads.tell_all().await;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_gives_back_what_it_was_made_of() {
        let link = SecretHash::of("a");
        for at in [at(0), Timestamp::from_millisecond(-1).unwrap(), Timestamp::UNIX_EPOCH] {
            assert_eq!(parse(line(&link, at).trim_end()), Some((link, at)));
        }
    }
}
