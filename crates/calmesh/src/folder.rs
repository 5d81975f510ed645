//! The data folder: who may use it, what lies where in it, and the secrets that the first start makes.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use calmesh_app::{model::TokenSecret, ports::Randomness};
use serde::{Deserialize, Serialize};

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
    #[error("{} can't be read: give this user the right to, or start on another folder with --data", file.display())]
    NotReadable {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
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
        Ok(Self { root, _lock: lock })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The database of the embedded DynamoDB.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("store.db")
    }

    /// The folder of the embedded S3.
    ///
    /// # Errors
    /// `NotWritable` when it can't be made.
    pub(crate) fn objects(&self) -> Result<PathBuf, FolderError> {
        let folder = self.root.join("objects");
        make_private_folder(&folder)
            .map_err(|source| FolderError::NotWritable { folder: self.root.clone(), source })?;
        Ok(folder)
    }

    pub(crate) fn credentials_file(&self) -> PathBuf {
        self.root.join("credentials.json")
    }

    /// The key file that seals kept answers.
    pub(crate) fn sealing_key_file(&self) -> PathBuf {
        self.root.join("sealing.key")
    }

    /// What is remembered of the demo, once it was made.
    pub(crate) fn demo_file(&self) -> PathBuf {
        self.root.join("demo.json")
    }

    /// The credentials, and whether they were made just now.
    ///
    /// # Errors
    /// `NotReadable` or `Damaged` for a file that is there but no use; it is never replaced.
    pub(crate) fn credentials(&self, randomness: &dyn Randomness) -> Result<(Credentials, bool), FolderError> {
        let file = self.credentials_file();
        match fs::read(&file) {
            Ok(bytes) => {
                let known: Credentials =
                    serde_json::from_slice(&bytes).map_err(|_| FolderError::Damaged(file.clone()))?;
                if known.is_whole() { Ok((known, false)) } else { Err(FolderError::Damaged(file)) }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A store without its secret would turn every echo real: better not to start than to make a new one.
                if self.database().exists() {
                    return Err(FolderError::NotReadable { file, source: error });
                }
                let made = Credentials::make(randomness);
                self.write_private(&file, &made)?;
                Ok((made, true))
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
            File::open(&self.root)?.sync_all()
        };
        write().map_err(|source| FolderError::NotWritable { folder: self.root.clone(), source })
    }
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn private_file(file: &Path) -> io::Result<File> {
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
fn private_file(file: &Path) -> io::Result<File> {
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
        let (made, first) = data.credentials(&OsRandomness).unwrap();
        let (kept, again) = data.credentials(&OsRandomness).unwrap();
        assert!(first && !again);
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

    #[test]
    fn a_store_that_lost_its_credentials_is_not_given_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        fs::write(data.database(), "").unwrap();
        assert!(matches!(data.credentials(&OsRandomness), Err(FolderError::NotReadable { .. })));
        assert!(!data.credentials_file().exists());
    }
}
