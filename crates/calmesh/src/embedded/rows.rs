//! Objects as rows of one SQLite database.
//!
//! - What an object is served with is one row; its bytes are pieces, so that no large body lies in memory twice. A checksum
//!   is over all of it, its name too: what does not fit counts as absent, for reads and for conditions, is told in the log,
//!   and is mended by whoever puts the object.
//! - All that writes goes through one thread, and what came together is one transaction and one sync (see `writer`). What
//!   reads is read where it is asked for, and answered once all that it may have seen stands.
//! - All objects can be made anew from elsewhere. So a file that SQLite can't make sense of, or that has another form, is
//!   made anew, empty, also while it is in use. Whoever opened it is told, and has to put everything again.
//! - What is deleted is overwritten with zeros; the log holds it until it is written over, or the file is closed.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, Row, ffi, params};
use serde::{Deserialize, Serialize};

use super::{
    sqlite::{Log, Looks, Readers, beside, speaks_of_damage},
    writer::{Writer, Writes},
};

/// The form of the file, in its `user_version`.
const FORM: i64 = 1;
const MAKE: &str = "BEGIN IMMEDIATE;
    CREATE TABLE objects (
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        length INTEGER NOT NULL,
        written INTEGER NOT NULL,
        etag TEXT NOT NULL,
        attributes TEXT NOT NULL,
        sum INTEGER NOT NULL,
        PRIMARY KEY (bucket, key)
    ) WITHOUT ROWID;
    CREATE TABLE pieces (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
    PRAGMA user_version = 1;
    COMMIT";
/// Commits are synced by the writer, checkpoints by SQLite.
const USED_SO: &str = "PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA secure_delete = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -1024;
    PRAGMA journal_size_limit = 8388608";
/// Pages of the log that are brought into the file together. Tests of power cuts want it to happen often.
const CHECKPOINT_PAGES: u32 = if cfg!(test) { 12 } else { 1000 };

const FIND: &str = "SELECT first, last, length, written, etag, attributes, sum, bytes
    FROM objects LEFT JOIN pieces ON number BETWEEN first AND last
    WHERE bucket = ?1 AND key = ?2 ORDER BY number";
const LIST: &str = "SELECT key FROM objects WHERE bucket = ?1 AND key >= ?2 AND key > ?3 ORDER BY key LIMIT ?4";
const LIST_OLD: &str = "SELECT key FROM objects WHERE bucket = ?1 AND key >= ?2 AND written < ?3 ORDER BY key";
const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const PUT: &str = "REPLACE INTO objects (bucket, key, first, last, length, written, etag, attributes, sum)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const PUT_PIECE: &str = "INSERT INTO pieces (number, bytes) VALUES (?1, ?2)";
const DELETE: &str = "DELETE FROM objects WHERE bucket = ?1 AND key = ?2";
const DELETE_PIECES: &str = "DELETE FROM pieces WHERE number BETWEEN ?1 AND ?2";
const STATEMENTS: [&str; 9] = [FIND, LIST, LIST_OLD, BEGIN, COMMIT, PUT, PUT_PIECE, DELETE, DELETE_PIECES];

const PIECE_BYTES: usize = 256 << 10;
/// What is believed of a length before its bytes are seen.
const RESERVED_BYTES: usize = 16 << 20;
/// Objects that are removed in one go because of their age: others want to write too.
const EXPIRED_TOGETHER: usize = 64;

/// A bucket's lifecycle rule: objects under this prefix go when they have not been written for this long.
#[derive(Debug, Clone)]
pub(crate) struct Expiry {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) after: Duration,
}

/// Is told of every change of an object (bucket and key), before it is made and after.
pub(crate) type Told = Arc<dyn Fn(&str, &str) + Send + Sync>;
/// Is told before all objects go because their file is lost.
pub(crate) type AllLost = Arc<dyn Fn() + Send + Sync>;

/// Who wants to know what.
#[derive(Clone, Default)]
pub(crate) struct Tells {
    pub(crate) changed: Option<Told>,
    pub(crate) all_lost: Option<AllLost>,
}

/// How the file was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beginning {
    Kept,
    /// There was none.
    Made,
    /// There was one of which nothing can be used, for this reason.
    Replaced(String),
}

/// Where an object is. Keys of exports are secrets.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

/// What an object is served with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
}

/// An object in hand.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) attributes: Attributes,
    pub(crate) etag: String,
    pub(crate) bytes: Bytes,
    pub(crate) written: SystemTime,
}

/// What a put asks of what is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    #[default]
    None,
    IsAbsent,
    IsThere,
    /// It has this ETag.
    Is(String),
}

/// Why a change was not made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// What has to be there is not.
    Absent,
    Differs,
}

/// What the thread that writes is asked for.
enum Change {
    Put {
        name: Name,
        object: Object,
        condition: Condition,
    },
    Copy {
        from: Name,
        to: Name,
        written: SystemTime,
    },
    Delete {
        names: Vec<Name>,
        /// Only those that were written before.
        before: Option<SystemTime>,
    },
    /// Looks whether the file is lost: somebody could not read it.
    Look,
}

/// The ETag that an object has now.
type Answer = Result<Option<String>, Refused>;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rows {
    file: PathBuf,
    readers: Arc<Readers<Option<Connection>>>,
    writer: Writer<Writing>,
    #[cfg(test)]
    cuts: tests::Cuts,
}

impl Rows {
    /// Opens or makes the file. Nobody but its owner may read it.
    ///
    /// # Errors
    /// When it can't be opened, read or made.
    pub(crate) fn open(file: &Path, tells: Tells) -> io::Result<(Self, Beginning)> {
        let file = std::path::absolute(file)?;
        let there = fs::metadata(&file).is_ok_and(|about| about.len() > 0);
        if !there {
            make_file(&file)?;
        }
        let (connections, beginning) = match connect(&file) {
            Ok(connections) => (connections, if there { Beginning::Kept } else { Beginning::Made }),
            Err(error) if is_lost(&error) => {
                tells.all_lost();
                make_file(&file)?;
                (connect(&file).map_err(io::Error::other)?, Beginning::Replaced(error.to_string()))
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        let (connection, readers) = connections;
        let readers = Arc::new(Readers::new(readers.into_iter().map(Some)));
        let mut log = Log::of(file.clone());
        // The tables, and the names of the files.
        log.sync()?;
        let writing = Writing {
            file: file.clone(),
            connection: Some(connection),
            readers: readers.clone(),
            log,
            tells,
            changed: Vec::new(),
            broken: None,
            unsynced: false,
            #[cfg(test)]
            cuts: tests::Cuts::default(),
        };
        #[cfg(test)]
        let cuts = writing.cuts.clone();
        let writer = Writer::start(writing)?;
        let rows = Self {
            file,
            readers,
            writer,
            #[cfg(test)]
            cuts,
        };
        Ok((rows, beginning))
    }

    /// # Errors
    /// When the file can't be read, or may have been lost.
    pub(crate) async fn find(&self, name: &Name) -> io::Result<Option<Object>> {
        let seen = self.read(|connection| find(connection, name)).await?;
        Ok(seen.whole().map(|stored| stored.object))
    }

    /// Keys of a bucket that begin so, in order, after this one, and no more than so many.
    ///
    /// # Errors
    /// When the file can't be read, or may have been lost.
    pub(crate) async fn keys(&self, bucket: &str, prefix: &str, after: &str, most: usize) -> io::Result<Vec<String>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.read(|connection| {
            let mut list = connection.prepare_cached(LIST)?;
            let keys = list.query_map(params![bucket, prefix, after, most], |row| row.get(0))?;
            keys_under(prefix, keys)
        })
        .await
    }

    /// # Errors
    /// When it may not stand.
    pub(crate) async fn put(&self, name: Name, object: Object, condition: Condition) -> io::Result<Answer> {
        self.writer.write(Change::Put { name, object, condition }).await
    }

    /// Copies an object with all that it is served with.
    ///
    /// # Errors
    /// When it may not stand.
    pub(crate) async fn copy(&self, from: Name, to: Name, written: SystemTime) -> io::Result<Answer> {
        self.writer.write(Change::Copy { from, to, written }).await
    }

    /// Deletes what is there of these.
    ///
    /// # Errors
    /// When they may not stay away.
    pub(crate) async fn delete(&self, names: Vec<Name>) -> io::Result<()> {
        self.writer.write(Change::Delete { names, before: None }).await.map(drop)
    }

    /// Removes what lies longer than its rule says.
    ///
    /// # Errors
    /// When some of it may still be there.
    pub(crate) async fn expire(&self, expiry: &Expiry, now: SystemTime) -> io::Result<()> {
        let Some(before) = now.checked_sub(expiry.after) else { return Ok(()) };
        let (bucket, prefix) = (&expiry.bucket, expiry.prefix.as_str());
        let old: Vec<String> = self
            .read(|connection| {
                let mut list = connection.prepare_cached(LIST_OLD)?;
                let keys = list.query_map(params![bucket, prefix, millis(before)], |row| row.get(0))?;
                keys_under(prefix, keys)
            })
            .await?;
        for keys in old.chunks(EXPIRED_TOGETHER) {
            let names = keys.iter().map(|key| Name { bucket: bucket.clone(), key: key.clone() }).collect();
            self.writer.write(Change::Delete { names, before: Some(before) }).await.map(drop)?;
        }
        Ok(())
    }

    /// Looks whether SQLite finds all of the file whole, over a connection of its own; where it does not, it is made anew. What
    /// is damaged may else be written into for a while before it is noticed.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub(crate) async fn look(&self, looks: &Looks) -> io::Result<()> {
        let (file, looks) = (self.file.clone(), looks.clone());
        let looked = tokio::task::spawn_blocking(move || looks.at(&file, look));
        match looked.await.map_err(io::Error::other)? {
            Ok(_) => Ok(()),
            Err(error) if is_lost(&error) => {
                // Whoever writes looks again, and answers this as failed when it began the file anew.
                drop(self.writer.write(Change::Look).await);
                Ok(())
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    async fn read<A>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<A>) -> io::Result<A> {
        let closed = || io::Error::other("the file of objects is closed");
        let read = self.readers.with(|reader| reader.as_ref().map(read)).flatten().ok_or_else(closed)?;
        match read {
            Ok(seen) => {
                self.writer.settled().await?;
                Ok(seen)
            }
            Err(error) => {
                if is_lost(&error) {
                    drop(self.writer.write(Change::Look).await);
                }
                Err(io::Error::other(error))
            }
        }
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

impl Tells {
    fn changed(&self, name: &Name) {
        self.changed.iter().for_each(|tell| tell(&name.bucket, &name.key));
    }

    fn all_lost(&self) {
        self.all_lost.iter().for_each(|tell| tell());
    }
}

/// Makes an empty file, whatever was there. Its log goes after it, so that no log is left to a file of before.
fn make_file(file: &Path) -> io::Result<()> {
    remove(file)?;
    remove(&beside(file, "-wal"))?;
    remove(&beside(file, "-shm"))?;
    let mut options = fs::File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.create_new(true).write(true).open(file).map(drop)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    #[cfg(unix)]
    file.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())?;
    Ok(())
}

/// The connection that writes, and those that read.
fn connect(file: &Path) -> rusqlite::Result<(Connection, Vec<Connection>)> {
    let open = || {
        let connection =
            Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.execute_batch(USED_SO)?;
        Ok(connection)
    };
    let writing = open()?;
    writing.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    let form: i64 = writing.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = writing.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (form, tables) {
        (0, 0) => writing.execute_batch(MAKE)?,
        (FORM, _) => {}
        _ => return Err(other_form()),
    }
    for statement in STATEMENTS {
        // What is missing of the tables is told here, and not by the first write.
        writing.prepare_cached(statement).map_err(|_| other_form())?;
    }
    let readers = (0..Readers::<Connection>::USUAL).map(|_| open()).collect::<rusqlite::Result<_>>()?;
    Ok((writing, readers))
}

fn other_form() -> rusqlite::Error {
    let code = ffi::Error::new(ffi::SQLITE_NOTADB);
    rusqlite::Error::SqliteFailure(code, Some("it is no file of objects that this version writes".to_owned()))
}

/// Whether nothing can be done with the file any more, or with a part of it: it makes no sense, the medium does not give it,
/// or it is said to hold what was just deleted.
fn is_lost(error: &rusqlite::Error) -> bool {
    speaks_of_damage(error)
        || error.sqlite_error().is_some_and(|error| {
            matches!(
                error.extended_code,
                ffi::SQLITE_IOERR_READ
                    | ffi::SQLITE_IOERR_SHORT_READ
                    | ffi::SQLITE_IOERR_CORRUPTFS
                    | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                    | ffi::SQLITE_CONSTRAINT_ROWID
            )
        })
}

/// The first of these keys, as long as they begin so. What can't be read as a key is none.
fn keys_under(prefix: &str, keys: impl Iterator<Item = rusqlite::Result<String>>) -> rusqlite::Result<Vec<String>> {
    let mut under = Vec::new();
    for key in keys {
        match key {
            Ok(key) if key.starts_with(prefix) => under.push(key),
            Ok(_) => break,
            Err(error) if error.sqlite_error_code().is_none() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(under)
}

/// What lies there.
enum Seen {
    Absent,
    /// Something that is not whole.
    Damaged,
    Whole(Stored),
}

struct Stored {
    object: Object,
    first: i64,
    last: i64,
}

impl Seen {
    /// What is not whole counts as absent.
    fn whole(self) -> Option<Stored> {
        match self {
            Self::Whole(stored) => Some(stored),
            Self::Damaged => {
                tracing::warn!("an object is damaged and counts as absent");
                None
            }
            Self::Absent => None,
        }
    }
}

fn find(connection: &Connection, name: &Name) -> rusqlite::Result<Seen> {
    let mut found = connection.prepare_cached(FIND)?;
    let mut rows = found.query((&name.bucket, &name.key))?;
    let mut head = match rows.next()? {
        None => return Ok(Seen::Absent),
        Some(row) => match Head::of(row) {
            Ok(head) => head,
            Err(_) => return Ok(Seen::Damaged),
        },
    };
    while head.is_believed()
        && let Some(row) = rows.next()?
    {
        if head.add(row).is_err() {
            return Ok(Seen::Damaged);
        }
    }
    Ok(head.stored(name).map_or(Seen::Damaged, Seen::Whole))
}

/// An object's row, and its bytes as far as they were read.
struct Head {
    first: i64,
    last: i64,
    length: usize,
    written: i64,
    etag: String,
    attributes: String,
    sum: i64,
    bytes: Vec<u8>,
}

impl Head {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let length = usize::try_from(row.get::<_, i64>(2)?).unwrap_or(usize::MAX);
        let mut head = Self {
            first: row.get(0)?,
            last: row.get(1)?,
            length,
            written: row.get(3)?,
            etag: row.get(4)?,
            attributes: row.get(5)?,
            sum: row.get(6)?,
            bytes: Vec::with_capacity(length.min(RESERVED_BYTES)),
        };
        head.add(row)?;
        Ok(head)
    }

    fn add(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        self.bytes.extend_from_slice(row.get_ref(7)?.as_blob()?);
        Ok(())
    }

    fn is_believed(&self) -> bool {
        self.bytes.len() <= self.length
    }

    fn stored(self, name: &Name) -> Option<Stored> {
        // Whoever deletes it deletes these.
        let pieces = i64::try_from(self.bytes.len().div_ceil(PIECE_BYTES).max(1)).ok()?;
        if self.last.checked_sub(self.first)?.checked_add(1)? != pieces {
            return None;
        }
        if i64::from(sum_of(name, &self.etag, self.written, &self.attributes, &self.bytes)) != self.sum {
            return None;
        }
        let object = Object {
            attributes: serde_json::from_str(&self.attributes).ok()?,
            etag: self.etag,
            bytes: self.bytes.into(),
            written: UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(self.written).ok()?))?,
        };
        Some(Stored { object, first: self.first, last: self.last })
    }
}

fn sum_of(name: &Name, etag: &str, written: i64, attributes: &str, bytes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for part in [&name.bucket, &name.key, etag, attributes] {
        sum.update(part.as_bytes());
        sum.update(&[0]);
    }
    sum.update(&written.to_le_bytes());
    sum.update(bytes);
    sum.finalize()
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What the thread that writes works on.
struct Writing {
    file: PathBuf,
    connection: Option<Connection>,
    readers: Arc<Readers<Option<Connection>>>,
    log: Log,
    tells: Tells,
    /// What was changed since the last commit.
    changed: Vec<Name>,
    /// What broke this batch; nothing of it is written then.
    broken: Option<rusqlite::Error>,
    /// Whether something was committed since the last sync.
    unsynced: bool,
    #[cfg(test)]
    cuts: tests::Cuts,
}

impl Writes for Writing {
    type Asked = Change;
    type Answer = Answer;
    const SEEN_AT_ONCE: bool = false;

    fn write(&mut self, change: Change) -> Answer {
        if self.broken.is_none() {
            match self.make(change) {
                Ok(answer) => return answer,
                Err(error) => self.broken = Some(error),
            }
        }
        // All of the batch is answered as failed.
        Ok(None)
    }

    fn commit(&mut self) -> io::Result<()> {
        let committed = match (self.broken.take(), &self.connection) {
            (Some(error), _) => Err(error),
            (None, Some(connection)) if !connection.is_autocommit() => {
                connection.prepare_cached(COMMIT).and_then(|mut commit| commit.execute([])).map(drop)
            }
            (None, _) => Ok(()),
        };
        let changed = std::mem::take(&mut self.changed);
        self.unsynced |= committed.is_ok() && !changed.is_empty();
        let committed = committed.map_err(|error| self.let_go(error));
        changed.iter().for_each(|name| self.tells.changed(name));
        #[cfg(test)]
        self.cuts.note(&self.file, false);
        committed
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.unsynced {
            self.log.sync()?;
            self.unsynced = false;
        }
        #[cfg(test)]
        self.cuts.note(&self.file, true);
        Ok(())
    }
}

impl Writing {
    fn make(&mut self, change: Change) -> rusqlite::Result<Answer> {
        if self.connection.is_none() {
            self.begin_anew()?;
        }
        let Some(connection) = &self.connection else { return Ok(Ok(None)) };
        if connection.is_autocommit() {
            connection.prepare_cached(BEGIN)?.execute([])?;
        }
        match change {
            Change::Put { name, object, condition } => {
                let present = find(connection, &name)?.whole();
                if let Err(refused) = condition.holds(present.as_ref().map(|stored| stored.object.etag.as_str())) {
                    return Ok(Err(refused));
                }
                self.tells.changed(&name);
                put(connection, &name, present.as_ref(), &object)?;
                self.changed.push(name);
                Ok(Ok(Some(object.etag)))
            }
            Change::Copy { from, to, written } => {
                let Some(Stored { object, .. }) = find(connection, &from)?.whole() else {
                    return Ok(Err(Refused::Absent));
                };
                let object = Object { written, ..object };
                let present = find(connection, &to)?.whole();
                self.tells.changed(&to);
                put(connection, &to, present.as_ref(), &object)?;
                self.changed.push(to);
                Ok(Ok(Some(object.etag)))
            }
            Change::Delete { names, before } => {
                for name in names {
                    let present = find(connection, &name)?.whole();
                    let is_younger = |than| present.as_ref().is_some_and(|stored| stored.object.written >= than);
                    if before.is_some_and(is_younger) {
                        continue;
                    }
                    self.tells.changed(&name);
                    connection.prepare_cached(DELETE)?.execute((&name.bucket, &name.key))?;
                    delete_pieces(connection, present.as_ref())?;
                    self.changed.push(name);
                }
                Ok(Ok(None))
            }
            Change::Look => look(connection).map(|()| Ok(None)),
        }
    }

    /// Takes back what the batch wrote. A file that is lost is begun anew.
    fn let_go(&mut self, error: rusqlite::Error) -> io::Error {
        if is_lost(&error) {
            tracing::error!(%error, "the file of objects is damaged and made anew; all objects are put again");
            if let Err(error) = self.begin_anew() {
                tracing::error!(%error, "the file of objects could not be made anew; the next write tries again");
            }
        } else if let Some(connection) = &self.connection
            && !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "what was written to the objects in part could not be taken back");
        }
        io::Error::other(error)
    }

    /// Makes an empty file in place of the one that is lost, once nobody reads it any more.
    fn begin_anew(&mut self) -> rusqlite::Result<()> {
        let mut readers = self.readers.all();
        self.tells.all_lost();
        readers.iter_mut().for_each(|reader| **reader = None);
        self.connection = None;
        self.log = Log::of(self.file.clone());
        make_file(&self.file).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let (connection, reading) = connect(&self.file)?;
        self.connection = Some(connection);
        for (reader, connection) in readers.iter_mut().zip(reading) {
            **reader = Some(connection);
        }
        self.unsynced = true;
        Ok(())
    }
}

impl Condition {
    fn holds(&self, present: Option<&str>) -> Result<(), Refused> {
        match (self, present) {
            (Self::IsThere | Self::Is(_), None) => Err(Refused::Absent),
            (Self::IsAbsent, Some(_)) => Err(Refused::Differs),
            (Self::Is(expected), Some(present)) if expected != present => Err(Refused::Differs),
            _ => Ok(()),
        }
    }
}

/// Writes an object in place of what is there.
fn put(connection: &Connection, name: &Name, present: Option<&Stored>, object: &Object) -> rusqlite::Result<()> {
    delete_pieces(connection, present)?;
    let mut put_piece = connection.prepare_cached(PUT_PIECE)?;
    let mut pieces = object.bytes.chunks(PIECE_BYTES);
    // What is replaced by as much stays where it is.
    let place = present.filter(|there| there.first == there.last && pieces.len() <= 1).map(|there| there.first);
    put_piece.execute(params![place, pieces.next().unwrap_or_default()])?;
    let first = connection.last_insert_rowid();
    let mut last = first;
    for piece in pieces {
        last = last.saturating_add(1);
        put_piece.execute(params![last, piece])?;
    }
    let attributes = serde_json::to_string(&object.attributes)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let written = millis(object.written);
    let sum = sum_of(name, &object.etag, written, &attributes, &object.bytes);
    let length = i64::try_from(object.bytes.len()).unwrap_or(i64::MAX);
    connection.prepare_cached(PUT)?.execute(params![
        name.bucket,
        name.key,
        first,
        last,
        length,
        written,
        object.etag,
        attributes,
        sum
    ])?;
    Ok(())
}

/// Only of what is whole: a damaged row may name the pieces of others.
fn delete_pieces(connection: &Connection, present: Option<&Stored>) -> rusqlite::Result<()> {
    if let Some(Stored { first, last, .. }) = present {
        connection.prepare_cached(DELETE_PIECES)?.execute((first, last))?;
    }
    Ok(())
}

/// Says whether SQLite finds the file whole.
fn look(connection: &Connection) -> rusqlite::Result<()> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    let code = ffi::Error::new(ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(code, Some(said)))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    };

    use super::*;

    const BUCKET: &str = "exports";
    const SECTOR: usize = 512;
    /// The head of a log, which SQLite syncs before it writes anything after it.
    const LOG_HEAD: usize = 32;

    /// What the files held after each commit and after each sync, once somebody wants to know.
    #[derive(Clone, Default)]
    pub(super) struct Cuts {
        wanted: Arc<AtomicBool>,
        all: Arc<Mutex<Vec<Cut>>>,
    }

    #[derive(Clone)]
    struct Cut {
        file: Vec<u8>,
        log: Vec<u8>,
        synced: bool,
    }

    impl Cuts {
        pub(super) fn note(&self, file: &Path, synced: bool) {
            if self.wanted.load(Ordering::SeqCst) {
                self.all.lock().unwrap().push(Cut::of(file, synced));
            }
        }

        fn count(&self) -> usize {
            self.all.lock().unwrap().len()
        }
    }

    impl Cut {
        fn of(file: &Path, synced: bool) -> Self {
            let log = fs::read(beside(file, "-wal")).unwrap_or_default();
            Self { file: fs::read(file).unwrap(), log, synced }
        }

        fn leave(&self, file: &Path) {
            fs::write(file, &self.file).unwrap();
            fs::write(beside(file, "-wal"), &self.log).unwrap();
        }
    }

    /// Numbers that differ, the same in each run.
    fn next(state: &mut u64) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*state >> 33).unwrap()
    }

    /// Of two versions of a file, what may lie on the disk when the second was not synced: each sector is one or the other.
    fn mixed(old: &[u8], new: &[u8], mut is_new: impl FnMut(usize) -> bool) -> Vec<u8> {
        let length = old.len().max(new.len());
        let sectors = length.div_ceil(SECTOR);
        let mut bytes = Vec::with_capacity(length);
        for sector in 0..sectors {
            let of = if is_new(sector) { new } else { old };
            let piece = of.get(sector * SECTOR..((sector + 1) * SECTOR).min(of.len())).unwrap_or_default();
            bytes.extend_from_slice(piece);
            // A file grows before its bytes are there.
            let end = ((sector + 1) * SECTOR).min(length);
            bytes.resize(end, 0);
        }
        bytes
    }

    /// All that a cut of the power may leave between a sync and the commit that follows it.
    fn leaves(synced: &Cut, written: &Cut) -> Vec<Cut> {
        let mut left = vec![synced.clone(), written.clone()];
        let sectors = written.log.len().max(synced.log.len()).div_ceil(SECTOR);
        let mut choices: Vec<Box<dyn FnMut(usize) -> bool>> = vec![Box::new(|sector| sector % 2 == 0)];
        for quarter in 1..4 {
            let at = sectors * quarter / 4;
            choices.push(Box::new(move |sector| sector < at));
            choices.push(Box::new(move |sector| sector >= at));
        }
        for seed in 0..3 {
            let mut state = seed;
            choices.push(Box::new(move |_| next(&mut state).is_multiple_of(2)));
        }
        for choice in &mut choices {
            let mut log = mixed(&synced.log, &written.log, &mut *choice);
            let head = written.log.len().min(LOG_HEAD);
            log[..head].copy_from_slice(&written.log[..head]);
            left.push(Cut { file: synced.file.clone(), log: log.clone(), synced: false });
            // Space that was given to the file, and never written.
            log.extend(std::iter::repeat_n(0xa5, 5_000));
            left.push(Cut { file: synced.file.clone(), log, synced: false });
            if synced.file != written.file {
                // The log is synced before any of it is brought into the file.
                let file = mixed(&synced.file, &written.file, choice);
                left.push(Cut { file, log: written.log.clone(), synced: false });
            }
        }
        left
    }

    fn name(key: &str) -> Name {
        Name { bucket: BUCKET.to_owned(), key: key.to_owned() }
    }

    fn object(bytes: impl Into<Bytes>) -> Object {
        let attributes = Attributes { content_type: Some("text/plain".to_owned()), ..Attributes::default() };
        let bytes = bytes.into();
        let etag = format!("{:08x}", crc32fast::hash(&bytes));
        Object { attributes, etag, bytes, written: UNIX_EPOCH + Duration::from_millis(1_700_000_000_007) }
    }

    async fn put(rows: &Rows, key: &str, bytes: impl Into<Bytes>) {
        rows.put(name(key), object(bytes), Condition::None).await.unwrap().unwrap();
    }

    async fn bytes_of(rows: &Rows, key: &str) -> Option<Bytes> {
        let found = rows.find(&name(key)).await.unwrap()?;
        assert_eq!(found.attributes.content_type.as_deref(), Some("text/plain"));
        Some(found.bytes)
    }

    fn open(file: &Path) -> Rows {
        Rows::open(file, Tells::default()).unwrap().0
    }

    /// Bytes by which one object is told from another, so many of them.
    fn bytes(what: &str, length: usize) -> Vec<u8> {
        what.bytes().cycle().take(length).collect()
    }

    #[tokio::test]
    async fn what_was_acknowledged_stands_wherever_the_power_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.db");
        let rows = open(&file);
        rows.cuts.wanted.store(true, Ordering::SeqCst);
        rows.cuts.note(&file, true);
        let changes: Vec<(&str, Option<Vec<u8>>)> = vec![
            ("f/a", Some(bytes("the first bytes of a;", 9_000))),
            ("f/b", Some(bytes("the bytes of b;", 300))),
            ("f/a", Some(bytes("other bytes;", 20_000))),
            ("deep/er/c", Some(Vec::new())),
            ("f/b", None),
            ("f/a", Some(bytes("other bytes again;", 9_000))),
            ("f/b", Some(bytes("b is back, large;", 2 * PIECE_BYTES + 7))),
            ("deep/er/c", Some(bytes("c;", 4_000))),
            ("f/b", Some(bytes("b is small;", 10))),
            ("f/a", None),
            ("f/a", Some(bytes("and a too;", 9_001))),
            ("f/b", Some(bytes("b;", 9_000))),
            ("f/a", Some(bytes("a, a little larger;", 17_000))),
            ("deep/er/c", Some(bytes("c, larger;", 30_000))),
            ("f/b", Some(bytes("b for the last time;", 9_000))),
            ("deep/er/c", None),
            ("f/a", Some(bytes("a for the last time;", 12_000))),
        ];
        // After so many cuts a change was acknowledged: a key, and what stands there from now on.
        let mut acknowledged: Vec<(usize, &str, Option<Bytes>)> = Vec::new();
        for (key, bytes) in changes {
            match &bytes {
                Some(bytes) => put(&rows, key, bytes.clone()).await,
                None => rows.delete(vec![name(key)]).await.unwrap(),
            }
            acknowledged.push((rows.cuts.count(), key, bytes.map(Bytes::from)));
        }
        let cuts = rows.cuts.all.lock().unwrap().clone();
        let (mut tried, mut checkpoints) = (0, 0);
        for (at, pair) in cuts.windows(2).enumerate().filter(|(_, pair)| pair[0].synced) {
            checkpoints += usize::from(pair[0].file != pair[1].file);
            for left in leaves(&pair[0], &pair[1]) {
                let after = tempfile::tempdir().unwrap();
                let file = after.path().join("objects.db");
                left.leave(&file);
                let (found, beginning) = Rows::open(&file, Tells::default()).unwrap();
                assert_eq!(beginning, Beginning::Kept);
                for key in ["f/a", "f/b", "deep/er/c"] {
                    let of_key = || acknowledged.iter().filter(|change| change.1 == key);
                    let stood = of_key().rfind(|change| change.0 <= at + 1).and_then(|change| change.2.clone());
                    let coming = acknowledged.iter().find(|change| change.0 > at + 1).filter(|change| change.1 == key);
                    let bytes = bytes_of(&found, key).await;
                    // The change that was on its way may have come through.
                    let may = bytes == stood || coming.is_some_and(|change| bytes == change.2);
                    assert!(may, "{key} after cut {at}: {:?}", bytes.map(|bytes| bytes.len()));
                }
                put(&found, "f/a", "mended").await;
                assert_eq!(bytes_of(&found, "f/a").await.as_deref(), Some(b"mended".as_slice()));
                tried += 1;
            }
        }
        assert!(tried > 300 && checkpoints > 5, "{tried} cuts, {checkpoints} checkpoints");
    }

    #[tokio::test]
    async fn an_object_that_is_not_whole_counts_as_absent_harms_no_other_and_is_mended_by_a_put() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.db");
        let rows = open(&file);
        let (large, other) = (bytes("a;", PIECE_BYTES + 100), bytes("other;", 9_000));
        put(&rows, "f/before", other.clone()).await;
        put(&rows, "f/a", large.clone()).await;
        put(&rows, "f/z", other.clone()).await;
        let damager = Connection::open(&file).unwrap();
        for damage in [
            "UPDATE pieces SET bytes = substr(bytes, 1, 255999) || x'00' WHERE number = 2",
            "UPDATE pieces SET bytes = substr(bytes, 2) WHERE number = 3",
            "UPDATE pieces SET bytes = bytes || x'00' WHERE number = 3",
            "UPDATE pieces SET bytes = x'' WHERE number = 2",
            "UPDATE pieces SET bytes = 7 WHERE number = 2",
            "DELETE FROM pieces WHERE number = 2",
            "DELETE FROM pieces WHERE number = 3",
            "UPDATE objects SET first = 0 WHERE key = 'f/a'",
            "UPDATE objects SET first = 1, last = 1 WHERE key = 'f/a'",
            "UPDATE objects SET last = last - 1 WHERE key = 'f/a'",
            "UPDATE objects SET last = 9223372036854775807 WHERE key = 'f/a'",
            "UPDATE objects SET length = 9223372036854775807, etag = 'x' WHERE key = 'f/a'",
            "UPDATE objects SET length = -1, last = 4 WHERE key = 'f/a'",
            "UPDATE objects SET etag = 'other' WHERE key = 'f/a'",
            "UPDATE objects SET written = written + 1 WHERE key = 'f/a'",
            "UPDATE objects SET written = 'today' WHERE key = 'f/a'",
            "UPDATE objects SET attributes = '{}' WHERE key = 'f/a'",
            "UPDATE objects SET attributes = x'ff' WHERE key = 'f/a'",
            "UPDATE objects SET sum = sum + 1 WHERE key = 'f/a'",
            "UPDATE objects SET (first, last, length, written, etag, attributes, sum) = (SELECT first, last, length, \
             written, etag, attributes, sum FROM objects WHERE key = 'f/z') WHERE key = 'f/a'",
        ] {
            // What was mended lies elsewhere.
            let place = "SELECT first FROM objects WHERE key = 'f/a'";
            let first: i64 = damager.query_row(place, [], |row| row.get(0)).unwrap();
            let here = damage.replace("number = 2", &format!("number = {first}"));
            let here = here.replace("number = 3", &format!("number = {}", first + 1));
            damager.execute(&here, []).unwrap();
            assert!(bytes_of(&rows, "f/a").await.is_none(), "{damage}");
            let old = Condition::Is(object(large.clone()).etag);
            assert_eq!(rows.put(name("f/a"), object("late"), old).await.unwrap(), Err(Refused::Absent), "{damage}");
            rows.put(name("f/a"), object(large.clone()), Condition::IsAbsent).await.unwrap().unwrap();
            assert!(bytes_of(&rows, "f/a").await.is_some_and(|bytes| bytes == large), "{damage}");
            for key in ["f/before", "f/z"] {
                assert!(bytes_of(&rows, key).await.is_some_and(|bytes| bytes == other), "{damage}: {key}");
            }
        }
    }

    /// The damages of a file by its pages and by its bytes.
    fn damages(whole: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut damages: Vec<(String, Vec<u8>)> = vec![
            ("emptied".to_owned(), Vec::new()),
            ("zeroed".to_owned(), vec![0; whole.len()]),
            ("text".to_owned(), bytes("garbage ", whole.len())),
        ];
        let pages = whole.len() / 4096;
        let mut state = 7;
        for page in 0..pages {
            let there = page * 4096..(page + 1) * 4096;
            let mut damaged = whole.to_vec();
            damaged[there.clone()].fill(0);
            damages.push((format!("page {page} zeroed"), damaged));
            let mut damaged = whole.to_vec();
            damaged[there.clone()].fill_with(|| u8::try_from(next(&mut state) % 256).unwrap());
            damages.push((format!("page {page} random"), damaged));
            let mut damaged = whole.to_vec();
            damaged.copy_within(there, pages.abs_diff(page + 1) * 4096);
            damages.push((format!("page {page} elsewhere too"), damaged));
            damages.push((format!("cut at page {page}"), whole[..page * 4096 + 100].to_vec()));
        }
        for nth in 0..100 {
            let mut damaged = whole.to_vec();
            for _ in 0..nth % 5 + 1 {
                let at = next(&mut state) % whole.len();
                damaged[at] ^= 1 << (next(&mut state) % 8);
            }
            damages.push((format!("bits, {nth}"), damaged));
        }
        damages
    }

    #[tokio::test]
    async fn a_damaged_file_never_serves_what_is_wrong_and_all_can_be_put_again() {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole.db");
        let objects: Vec<(String, Vec<u8>)> =
            (0..12).map(|nth| (format!("f/{nth}"), bytes(&format!("{nth};"), nth * 1_500))).collect();
        {
            let rows = open(&whole);
            for (key, bytes) in &objects {
                put(&rows, key, bytes.clone()).await;
            }
            rows.delete(vec![name("f/3"), name("f/9")]).await.unwrap();
        }
        assert!(!beside(&whole, "-wal").exists(), "all is in the file");
        let (mut replaced, mut lost_in_use) = (0, 0);
        for (damage, damaged) in damages(&fs::read(&whole).unwrap()) {
            let file = folder.path().join("damaged.db");
            fs::write(&file, &damaged).unwrap();
            let lost = Arc::new(AtomicU64::new(0));
            let noting = lost.clone();
            let all_lost = move || {
                noting.fetch_add(1, Ordering::SeqCst);
            };
            let tells = Tells { all_lost: Some(Arc::new(all_lost)), ..Tells::default() };
            let (rows, beginning) = Rows::open(&file, tells).unwrap();
            let begun_anew = matches!(beginning, Beginning::Replaced(_));
            assert_eq!(begun_anew, lost.load(Ordering::SeqCst) > 0, "{damage}: whoever opens it is told");
            replaced += u32::from(begun_anew);
            for (key, bytes) in &objects {
                match rows.find(&name(key)).await {
                    Ok(None) => {}
                    Ok(Some(found)) => assert!(found.bytes == bytes, "{damage}: {key} is wrong"),
                    // What can't be read is answered as failed, and looked at.
                    Err(_) => lost_in_use += u32::from(lost.load(Ordering::SeqCst) > 0),
                }
            }
            // As the program does beside its start.
            rows.look(&Looks::default()).await.unwrap();
            let before = lost.load(Ordering::SeqCst);
            for (key, bytes) in &objects {
                // What finds the damage fails, and is tried again as all that fails is.
                let mut tries = 0;
                while let Err(error) = rows.put(name(key), object(bytes.clone()), Condition::None).await {
                    tries += 1;
                    assert!(tries < 3, "{damage}: {key} can't be put: {error}");
                }
            }
            for (key, bytes) in &objects {
                let found = rows.find(&name(key)).await.unwrap();
                let again = found.is_some_and(|found| found.bytes == bytes);
                // A put may have found more damage, and what was put before it went.
                assert!(again || lost.load(Ordering::SeqCst) > before, "{damage}: {key} was put and is not there");
            }
            drop(rows);
            fs::remove_file(&file).unwrap();
        }
        assert!(replaced > 3 && lost_in_use > 3, "{replaced} at the start, {lost_in_use} in use");
    }

    #[tokio::test]
    async fn a_file_of_another_form_is_made_anew() {
        for other in [
            "PRAGMA user_version = 2",
            "PRAGMA user_version = 0",
            "DROP TABLE pieces",
            "ALTER TABLE objects RENAME COLUMN sum TO total",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("objects.db");
            put(&open(&file), "f/a", "one").await;
            Connection::open(&file).unwrap().execute_batch(other).unwrap();
            let (rows, beginning) = Rows::open(&file, Tells::default()).unwrap();
            assert!(matches!(beginning, Beginning::Replaced(_)), "{other}: {beginning:?}");
            assert_eq!(bytes_of(&rows, "f/a").await, None);
            put(&rows, "f/a", "two").await;
            assert_eq!(bytes_of(&rows, "f/a").await.as_deref(), Some(b"two".as_slice()));
        }
    }

    #[tokio::test]
    async fn a_log_without_its_file_brings_nothing_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.db");
        let rows = open(&file);
        put(&rows, "f/a", "one").await;
        let log = fs::read(beside(&file, "-wal")).unwrap();
        assert!(!log.is_empty());
        drop(rows);
        for left in [None, Some("")] {
            fs::remove_file(&file).unwrap();
            if let Some(left) = left {
                fs::write(&file, left).unwrap();
            }
            fs::write(beside(&file, "-wal"), &log).unwrap();
            let (rows, beginning) = Rows::open(&file, Tells::default()).unwrap();
            assert_eq!(beginning, Beginning::Made);
            assert_eq!(bytes_of(&rows, "f/a").await, None);
        }
    }

    #[tokio::test]
    async fn files_that_are_removed_under_it_harm_nobody_and_are_made_anew_by_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.db");
        let rows = open(&file);
        put(&rows, "f/a", "one").await;
        for ending in ["", "-wal", "-shm"] {
            fs::remove_file(beside(&file, ending)).unwrap();
        }
        put(&rows, "f/a", "two").await;
        assert_eq!(bytes_of(&rows, "f/a").await.as_deref(), Some(b"two".as_slice()));
        drop(rows);
        let (rows, beginning) = Rows::open(&file, Tells::default()).unwrap();
        assert_eq!((beginning, bytes_of(&rows, "f/a").await), (Beginning::Made, None));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_may_read_the_files() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.db");
        let rows = open(&file);
        put(&rows, "f/a", "one").await;
        for ending in ["", "-wal", "-shm"] {
            let mode = fs::metadata(beside(&file, ending)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{ending}");
        }
    }

    #[tokio::test]
    async fn nothing_of_what_was_deleted_or_replaced_is_left_once_the_file_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.db");
        let rows = open(&file);
        for length in [40, 9_000, PIECE_BYTES + 1] {
            put(&rows, &format!("f/secret-{length}"), bytes("the deleted one;", length)).await;
            put(&rows, &format!("f/stays-{length}"), bytes("the replaced one;", length)).await;
            put(&rows, &format!("f/stays-{length}"), bytes("it stays;", 5)).await;
            rows.delete(vec![name(&format!("f/secret-{length}"))]).await.unwrap();
        }
        drop(rows);
        let left = fs::read(&file).unwrap();
        for gone in ["the deleted one", "the replaced one", "f/secret"] {
            assert!(!left.windows(gone.len()).any(|at| at == gone.as_bytes()), "{gone}");
        }
        assert!(left.windows(7).any(|at| at == b"f/stays"));
    }

    #[tokio::test]
    async fn bodies_grow_and_shrink_and_leave_no_piece_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.db");
        let rows = open(&file);
        let mut pieces = 0;
        for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 0, 10 << 20, 3 * PIECE_BYTES, 5, 10 << 20] {
            let body = bytes("0123456789abcdefg", length);
            put(&rows, "f/a", body.clone()).await;
            assert!(bytes_of(&rows, "f/a").await.is_some_and(|bytes| bytes == body), "{length}");
            rows.copy(name("f/a"), name("f/copy"), UNIX_EPOCH).await.unwrap().unwrap();
            assert!(bytes_of(&rows, "f/copy").await.is_some_and(|bytes| bytes == body), "{length}");
            let there = Connection::open(&file).unwrap();
            pieces = there.query_row("SELECT count(*) FROM pieces", [], |row| row.get(0)).unwrap();
            assert_eq!(pieces, 2 * length.div_ceil(PIECE_BYTES).max(1), "{length}");
        }
        assert_eq!(pieces, 80);
        rows.delete(vec![name("f/a"), name("f/copy"), name("f/none")]).await.unwrap();
        let there = Connection::open(&file).unwrap();
        let left: i64 = there.query_row("SELECT count(*) FROM pieces", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_many_that_put_at_once_where_nothing_is_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let rows = open(&folder.path().join("objects.db"));
        for round in 0..20 {
            let key = format!("f/{round}");
            let puts = (0..16).map(|nth| {
                let (rows, key) = (rows.clone(), key.clone());
                tokio::spawn(async move { rows.put(name(&key), object(nth.to_string()), Condition::IsAbsent).await })
            });
            let answers = futures::future::join_all(puts).await;
            let won: Vec<usize> =
                (0..16).filter(|nth| answers[*nth].as_ref().unwrap().as_ref().unwrap().is_ok()).collect();
            assert_eq!(won.len(), 1);
            assert_eq!(bytes_of(&rows, &key).await.unwrap(), won[0].to_string());
        }
    }

    #[tokio::test]
    async fn a_batch_of_which_one_write_breaks_is_failed_as_a_whole_and_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("objects.db");
        let rows = open(&file);
        put(&rows, "f/a", "stays").await;
        let breaks = "CREATE TRIGGER full BEFORE INSERT ON pieces WHEN new.bytes = CAST('breaks' AS BLOB)
            BEGIN SELECT RAISE(ABORT, 'no place is left'); END";
        Connection::open(&file).unwrap().execute_batch(breaks).unwrap();
        let at_once = [("f/b", "good"), ("f/a", "breaks"), ("f/c", "good")]
            .map(|(key, bytes)| rows.put(name(key), object(bytes), Condition::None));
        // The thread takes them together or one by one; what was answered as good stands.
        let answers = futures::future::join_all(at_once).await;
        assert!(answers[1].is_err());
        for (key, answer) in [("f/b", &answers[0]), ("f/c", &answers[2])] {
            assert_eq!(bytes_of(&rows, key).await.is_some(), answer.is_ok(), "{key}");
        }
        assert_eq!(bytes_of(&rows, "f/a").await.unwrap(), "stays");
        put(&rows, "f/a", "good").await;
        assert_eq!(bytes_of(&rows, "f/a").await.unwrap(), "good");
    }

    #[tokio::test]
    async fn keys_are_listed_by_their_bytes_as_far_as_they_begin_so() {
        let folder = tempfile::tempdir().unwrap();
        let rows = open(&folder.path().join("objects.db"));
        let keys =
            ["a", "f", "f/", "f/a", "f/a/b", "f/é", "f/\u{10ffff}", "f/\u{10ffff}x", "f0", "../up", "f//x", "%", "f_"];
        for key in keys {
            put(&rows, key, "x").await;
        }
        rows.put(Name { bucket: "other".to_owned(), key: "f/other".to_owned() }, object("x"), Condition::None)
            .await
            .unwrap()
            .unwrap();
        let mut sorted = keys.to_vec();
        sorted.sort_unstable();
        for prefix in ["", "f", "f/", "f/\u{10ffff}", "f/a", "%", "g", ".."] {
            let expected: Vec<&str> = sorted.iter().filter(|key| key.starts_with(prefix)).copied().collect();
            assert_eq!(rows.keys(BUCKET, prefix, "", 100).await.unwrap(), expected, "{prefix}");
            // Page by page it is the same.
            let (mut paged, mut after) = (Vec::new(), String::new());
            loop {
                let page = rows.keys(BUCKET, prefix, &after, 2).await.unwrap();
                let Some(last) = page.last() else { break };
                after = last.clone();
                paged.extend(page);
            }
            assert_eq!(paged, expected, "{prefix}");
        }
    }
}
