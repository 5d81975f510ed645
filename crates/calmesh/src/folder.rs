//! The data folder: who may use it, what lies where in it, and the secrets that the first start makes.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use calmesh_app::{model::TokenSecret, ports::Randomness};
use serde::{Deserialize, Serialize};

/// The form of the folder: which files are in it and what they hold. One more with every change that an older version would
/// misread.
const FORMAT: u32 = 1;

/// Why the data folder can't be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("another calmesh is running on the data folder {}: stop it first, or choose another folder with --data", .0.display())]
    InUse(PathBuf),
    #[error("the data folder {} can't be written: give this user the right to, or choose another folder with --data", folder.display())]
    NotWritable {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no folder, which the data folder has to be or to lie in: choose another one with --data", .0.display())]
    NoFolder(PathBuf),
    #[error("{} can't be read: give this user the right to, or start on another folder with --data", file.display())]
    NotReadable {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the data folder's path {} is no text of UTF-8, which the database needs: choose another folder with --data", .0.display())]
    NotText(PathBuf),
    #[error(
        "{} is missing beside {}, so this folder is not whole: put back both from one backup, or, to begin anew \
         deliberately, move the whole folder away or choose another one with --data",
        missing.display(), beside.display()
    )]
    Missing { missing: PathBuf, beside: PathBuf },
    #[error(
        "{} holds no store of calmesh, though {} says that there was one: put back the copy from your backup, or, to \
         begin anew deliberately, move the whole folder away or choose another one with --data",
        store.display(), beside.display()
    )]
    NoStore { store: PathBuf, beside: PathBuf },
    #[error(
        "{} belongs to another data folder than {}: put back both from one backup, or choose another folder with --data",
        store.display(), beside.display()
    )]
    Foreign { store: PathBuf, beside: PathBuf },
    #[error(
        "{} is missing: put back the copy from your backup. Without one, make another by \
         `(umask 077; head -c 32 /dev/urandom > sealing.key)` in that folder; answers that are kept for repeated \
         requests are lost then",
        .0.display()
    )]
    NoSealingKey(PathBuf),
    #[error(
        "the data folder {} was written by a later version of calmesh (format {format}, and this one knows {FORMAT}): start that \
         version or a later one, or choose another folder with --data",
        folder.display()
    )]
    Later { folder: PathBuf, format: u32 },
    #[error(
        "{} was made by a version of calmesh from before the first release, whose data nothing reads any more: move the whole \
         folder away, or choose another one with --data",
        .0.display()
    )]
    Unreleased(PathBuf),
    #[error(
        "{} is not as calmesh wrote it: put back the copy from your backup, or start on another folder with --data",
        .0.display()
    )]
    Damaged(PathBuf),
}

/// A data folder that this process holds, alone, for as long as this lives.
#[derive(Debug)]
pub(crate) struct DataFolder {
    root: PathBuf,
    /// Whether nothing in here was ever told to anybody: the first start has not come to its end yet.
    first_start: bool,
    /// Whether the run before this one ended without having put everything in order.
    was_cut_short: bool,
    /// Locked by the operating system, which lets go of it however this process ends.
    _lock: File,
}

/// What clients show: `credentials.json`, for nobody but the owner of the folder.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The account `local`.
    pub(crate) account: String,
    pub(crate) token_id: String,
    pub(crate) token: String,
    pub(crate) operator_key: String,
    /// Base64 of 32 bytes. Keys are derived from it: lose it and every echo turns real.
    pub(crate) deployment_secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Credentials {
    fn make(randomness: &dyn Randomness) -> Self {
        Self {
            account: calmesh_calendar::AccountId::from_random(randomness.id()).as_str().to_owned(),
            token_id: calmesh_calendar::TokenId::from_random(randomness.id()).as_str().to_owned(),
            token: TokenSecret::from_random(randomness.secret()).reveal().to_owned(),
            operator_key: TokenSecret::from_random(randomness.secret()).reveal().to_owned(),
            deployment_secret: STANDARD.encode(randomness.secret()),
        }
    }

    /// The deployment's secret; none when it is no base64 of 32 bytes.
    pub(crate) fn deployment_secret(&self) -> Option<[u8; 32]> {
        STANDARD.decode(&self.deployment_secret).ok()?.try_into().ok()
    }

    fn is_whole(&self) -> bool {
        self.account.parse::<calmesh_calendar::AccountId>().is_ok()
            && self.token_id.parse::<calmesh_calendar::TokenId>().is_ok()
            && TokenSecret::parse(&self.token).is_some()
            && TokenSecret::parse(&self.operator_key).is_some()
            && self.deployment_secret().is_some()
    }
}

impl DataFolder {
    /// Makes the folder where it is missing, closes it to others (mode 0700) and takes it for this process.
    ///
    /// # Errors
    /// `InUse` while another process holds it, `NotWritable` when it can't be made or written.
    pub(crate) fn open(root: &Path) -> Result<Self, FolderError> {
        let not_writable = |source| FolderError::NotWritable { folder: root.to_owned(), source };
        if root.to_str().is_none() {
            return Err(FolderError::NotText(root.to_owned()));
        }
        // Of what is there of the path, the last has to be a folder.
        let there = root.ancestors().find(|part| fs::metadata(part).is_ok());
        if let Some(there) = there.filter(|part| !part.is_dir()) {
            return Err(FolderError::NoFolder(there.to_owned()));
        }
        make_private_folder(root).map_err(not_writable)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(root.join("lock")).map_err(not_writable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(root.to_owned())),
            Err(TryLockError::Error(source)) => return Err(not_writable(source)),
        }
        // Absolute, so that what is printed can be pasted anywhere.
        let root = fs::canonicalize(root).map_err(not_writable)?;
        if root.to_str().is_none() {
            return Err(FolderError::NotText(root));
        }
        let mut folder = Self { root, first_start: false, was_cut_short: false, _lock: lock };
        folder.begin()?;
        Ok(folder)
    }

    /// Whether another process holds this folder. Makes nothing.
    pub(crate) fn is_in_use(root: &Path) -> bool {
        let lock = File::options().write(true).open(root.join("lock"));
        lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Looks at how the last run ended, and says that this one has begun.
    fn begin(&mut self) -> Result<(), FolderError> {
        self.check_format()?;
        let (credentials, store) = (self.credentials_file(), self.database());
        self.first_start = is_there(&self.first_start_file());
        if self.first_start {
            // The engine makes a table in several steps, and one that was cut off between them can't be used. Nothing in it was
            // ever told to anybody.
            for file in ["store.db", "store.db-wal", "store.db-shm"] {
                self.remove(&self.root.join(file))?;
            }
        } else {
            match (is_there(&credentials), is_there(&store)) {
                (true, true) => {
                    // A file without a byte is what a crash, a full disk or a slip leaves: never what SQLite does.
                    let about = fs::metadata(&store);
                    if about.is_ok_and(|about| !about.is_file() || about.len() == 0) {
                        return Err(self.no_store());
                    }
                    let sealing = self.sealing_key_file();
                    if !is_there(&sealing) {
                        return Err(FolderError::NoSealingKey(sealing));
                    }
                }
                (true, false) => return Err(FolderError::Missing { missing: store, beside: credentials }),
                (false, true) => return Err(FolderError::Missing { missing: credentials, beside: store }),
                (false, false) => {
                    let objects = self.objects();
                    if is_there(&objects) {
                        return Err(FolderError::Missing { missing: store, beside: objects });
                    }
                    self.first_start = true;
                    self.write_private(&self.first_start_file(), &"made by the first start, until it is done")?;
                }
            }
        }
        self.was_cut_short = is_there(&self.running_file());
        self.write_private(&self.running_file(), &"there while calmesh runs; left behind when it was cut short")
    }

    /// Refuses a folder of another format before anything in it is touched, and gives a new one its number.
    fn check_format(&self) -> Result<(), FolderError> {
        let file = self.root.join("format");
        let format = match fs::read_to_string(&file) {
            Ok(text) => text.trim().parse().ok().filter(|format| *format > 0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // What was never released had no number.
                if ["credentials.json", "store.db", "objects", "first-start"]
                    .iter()
                    .any(|of| is_there(&self.root.join(of)))
                {
                    return Err(FolderError::Unreleased(self.root.clone()));
                }
                return self.write_private(&file, &FORMAT);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
            Err(source) => return Err(FolderError::NotReadable { file, source }),
        };
        match format {
            None => Err(FolderError::Damaged(file)),
            Some(format) if format > FORMAT => Err(FolderError::Later { folder: self.root.clone(), format }),
            Some(_) => Ok(()),
        }
    }

    /// What the words for a store that is none are, whatever is wrong with it.
    pub(crate) fn no_store(&self) -> FolderError {
        FolderError::NoStore { store: self.database(), beside: self.credentials_file() }
    }

    pub(crate) fn foreign_store(&self) -> FolderError {
        FolderError::Foreign { store: self.database(), beside: self.credentials_file() }
    }

    /// Whether the first start has not come to its end yet.
    pub(crate) fn is_first_start(&self) -> bool {
        self.first_start
    }

    /// Whether the last run was killed, lost its power, or was stopped before all was in order.
    pub(crate) fn was_cut_short(&self) -> bool {
        self.was_cut_short
    }

    /// The first start is done: from now on what is missing is lost, and not merely unmade.
    ///
    /// # Errors
    /// `NotWritable` when the folder can't be written.
    pub(crate) fn is_made(&self) -> Result<(), FolderError> {
        self.remove(&self.first_start_file())
    }

    /// Says that nothing was left half done.
    ///
    /// # Errors
    /// `NotWritable` when the folder can't be written; the next start looks at everything then.
    pub(crate) fn end(self) -> Result<(), FolderError> {
        self.remove(&self.running_file())
    }

    fn remove(&self, file: &Path) -> Result<(), FolderError> {
        let removed = match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_folder(&self.root),
        };
        removed.map_err(|source| FolderError::NotWritable { folder: self.root.clone(), source })
    }

    fn first_start_file(&self) -> PathBuf {
        self.root.join("first-start")
    }

    fn running_file(&self) -> PathBuf {
        self.root.join("running")
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The database of the embedded DynamoDB.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("store.db")
    }

    /// The database of the embedded S3. All of it can be made anew from the store and the feeds.
    pub(crate) fn objects(&self) -> PathBuf {
        self.root.join("objects.db")
    }

    pub(crate) fn credentials_file(&self) -> PathBuf {
        self.root.join("credentials.json")
    }

    /// The key file that seals kept answers.
    pub(crate) fn sealing_key_file(&self) -> PathBuf {
        self.root.join("sealing.key")
    }

    /// Reads of private links that the store was not told yet.
    pub(crate) fn reads_file(&self) -> PathBuf {
        self.root.join("reads.log")
    }

    /// What is remembered of the demo, once it was made.
    pub(crate) fn demo_file(&self) -> PathBuf {
        self.root.join("demo.json")
    }

    /// The credentials; made only by the first start.
    ///
    /// # Errors
    /// `NotReadable` or `Damaged` for a file that is there but no use; it is never replaced.
    pub(crate) fn credentials(&self, randomness: &dyn Randomness) -> Result<Credentials, FolderError> {
        let file = self.credentials_file();
        match fs::read(&file) {
            Ok(bytes) => {
                let known: Credentials =
                    serde_json::from_slice(&bytes).map_err(|_| FolderError::Damaged(file.clone()))?;
                if known.is_whole() { Ok(known) } else { Err(FolderError::Damaged(file)) }
            }
            // A store without its secret would turn every echo real: see `begin`.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.first_start => {
                let made = Credentials::make(randomness);
                self.write_private(&file, &made)?;
                Ok(made)
            }
            Err(source) => Err(FolderError::NotReadable { file, source }),
        }
    }

    /// Writes a file that nobody else may read: whole or not at all, and on the disk when this returns.
    ///
    /// # Errors
    /// `NotWritable` when it can't be written.
    pub(crate) fn write_private(&self, file: &Path, value: &impl Serialize) -> Result<(), FolderError> {
        let write = || -> io::Result<()> {
            let mut bytes = serde_json::to_vec_pretty(value)?;
            bytes.push(b'\n');
            let beside = file.with_extension("new");
            let mut new = private_file(&beside)?;
            new.write_all(&bytes)?;
            new.sync_all()?;
            fs::rename(&beside, file)?;
            sync_folder(&self.root)
        };
        write().map_err(|source| FolderError::NotWritable { folder: self.root.clone(), source })
    }
}

fn is_there(file: &Path) -> bool {
    file.symlink_metadata().is_ok()
}

#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Elsewhere a folder can't be opened, and names are the file system's own affair.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes a folder and those that it lies in, with their names on the disk.
#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let missing: Vec<&Path> = folder.ancestors().take_while(|above| !above.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for made in missing.iter().rev() {
        match made.parent() {
            Some(above) if above.as_os_str().is_empty() => sync_folder(Path::new("."))?,
            Some(above) => sync_folder(above)?,
            None => {}
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
pub(crate) fn private_file(file: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // One that a crash left may have other rights.
    if let Err(error) = fs::remove_file(file)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    File::options().create_new(true).write(true).mode(0o600).open(file)
}

#[cfg(not(unix))]
pub(crate) fn private_file(file: &Path) -> io::Result<File> {
    File::create(file)
}

#[cfg(test)]
mod tests {
    use calmesh_lambda_kit::OsRandomness;

    use super::*;

    #[test]
    fn a_second_process_is_told_that_the_folder_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let _first = DataFolder::open(folder.path()).unwrap();
        assert!(matches!(DataFolder::open(folder.path()), Err(FolderError::InUse(_))));
    }

    #[test]
    fn credentials_are_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(&folder.path().join("data")).unwrap();
        let made = data.credentials(&OsRandomness).unwrap();
        let kept = data.credentials(&OsRandomness).unwrap();
        assert_eq!(made.token, kept.token);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(data.root()), 0o700);
            assert_eq!(mode(&data.credentials_file()), 0o600);
        }
    }

    #[test]
    fn credentials_that_can_not_be_read_are_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        fs::write(data.credentials_file(), "{").unwrap();
        assert!(matches!(data.credentials(&OsRandomness), Err(FolderError::Damaged(_))));
        assert_eq!(fs::read_to_string(data.credentials_file()).unwrap(), "{");
    }

    /// A folder as a first start leaves it.
    fn whole(root: &Path) {
        let data = DataFolder::open(root).unwrap();
        data.credentials(&OsRandomness).unwrap();
        fs::write(data.database(), "a database").unwrap();
        fs::write(data.sealing_key_file(), "a key").unwrap();
        fs::write(data.objects(), "a database").unwrap();
        data.is_made().unwrap();
        data.end().unwrap();
    }

    #[test]
    fn a_folder_of_which_a_part_is_lost_is_not_made_anew() {
        for (lost, words) in [
            ("credentials.json", "credentials.json is missing beside"),
            ("store.db", "store.db is missing beside"),
            ("sealing.key", "sealing.key is missing"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            whole(folder.path());
            DataFolder::open(folder.path()).unwrap();
            fs::remove_file(folder.path().join(lost)).unwrap();
            let refused = DataFolder::open(folder.path()).unwrap_err().to_string();
            assert!(refused.contains(words) && refused.contains("backup"), "{lost}: {refused}");
            assert!(!folder.path().join(lost).exists());
        }
    }

    #[test]
    fn a_store_without_a_byte_or_that_is_a_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        whole(folder.path());
        fs::write(folder.path().join("store.db"), "").unwrap();
        assert!(matches!(DataFolder::open(folder.path()), Err(FolderError::NoStore { .. })));
        fs::remove_file(folder.path().join("store.db")).unwrap();
        fs::create_dir(folder.path().join("store.db")).unwrap();
        assert!(matches!(DataFolder::open(folder.path()), Err(FolderError::NoStore { .. })));
    }

    #[test]
    fn links_that_are_left_without_their_store_are_told() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataFolder::open(folder.path()).unwrap());
        fs::remove_file(folder.path().join("first-start")).unwrap();
        fs::write(folder.path().join("objects.db"), "a database").unwrap();
        assert!(matches!(DataFolder::open(folder.path()), Err(FolderError::Missing { .. })));
    }

    /// All that lies in a folder, but for its lock.
    fn all_in(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = paths.filter(|path| path.is_file() && !path.ends_with("lock"));
        let mut all: Vec<_> = files.map(|file| (file.clone(), fs::read(file).unwrap())).collect();
        all.sort();
        all
    }

    #[test]
    fn a_folder_of_a_later_version_is_refused_in_words_and_left_as_it_is() {
        for format in [FORMAT + 1, u32::MAX] {
            let folder = tempfile::tempdir().unwrap();
            whole(folder.path());
            assert_eq!(fs::read_to_string(folder.path().join("format")).unwrap(), "1\n");
            fs::write(folder.path().join("format"), format.to_string()).unwrap();
            let before = all_in(folder.path());
            let refused = DataFolder::open(folder.path()).unwrap_err().to_string();
            assert!(refused.contains("later version") && refused.contains(&format.to_string()), "{refused}");
            assert_eq!(all_in(folder.path()), before);
        }
    }

    #[test]
    fn a_number_of_the_format_that_makes_no_sense_is_told_and_not_guessed() {
        for damaged in [b"".as_slice(), b"0", b"-1", b"one", b"1.0", b"99999999999999999999", b"\xff"] {
            let folder = tempfile::tempdir().unwrap();
            whole(folder.path());
            fs::write(folder.path().join("format"), damaged).unwrap();
            let before = all_in(folder.path());
            assert!(matches!(DataFolder::open(folder.path()), Err(FolderError::Damaged(_))), "{damaged:?}");
            assert_eq!(all_in(folder.path()), before);
        }
    }

    #[test]
    fn a_folder_from_before_there_was_a_format_is_refused_in_words() {
        for left in ["credentials.json", "store.db", "objects/", "first-start"] {
            let folder = tempfile::tempdir().unwrap();
            match left.strip_suffix('/') {
                Some(name) => fs::create_dir(folder.path().join(name)).unwrap(),
                None => fs::write(folder.path().join(left), "of before").unwrap(),
            }
            let before = all_in(folder.path());
            let refused = DataFolder::open(folder.path()).unwrap_err().to_string();
            assert!(refused.contains("before the first release") && refused.contains("--data"), "{refused}");
            assert_eq!(all_in(folder.path()), before);
        }
    }

    #[test]
    fn a_first_start_that_was_cut_short_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        for made in ["", "credentials.json", "store.db"] {
            let data = DataFolder::open(folder.path()).unwrap();
            assert!(data.is_first_start(), "{made}");
            assert!(!data.database().exists(), "a store that may be half made is made anew");
            data.credentials(&OsRandomness).unwrap();
            fs::write(data.database(), "").unwrap();
        }
        let data = DataFolder::open(folder.path()).unwrap();
        fs::write(data.database(), "").unwrap();
        data.is_made().unwrap();
        drop(data);
        assert!(matches!(DataFolder::open(folder.path()), Err(FolderError::NoStore { .. })));
    }

    #[test]
    fn a_run_that_did_not_end_by_itself_is_known_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        whole(folder.path());
        let killed = DataFolder::open(folder.path()).unwrap();
        assert!(!killed.was_cut_short());
        drop(killed);
        let stopped = DataFolder::open(folder.path()).unwrap();
        assert!(stopped.was_cut_short());
        stopped.end().unwrap();
        assert!(!DataFolder::open(folder.path()).unwrap().was_cut_short());
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_is_told() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        assert!(matches!(DataFolder::open(&path), Err(FolderError::NotText(_))));
        assert!(!path.exists());
    }
}
