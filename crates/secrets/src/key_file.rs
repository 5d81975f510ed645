//! Sealing on one machine: a key of 32 random bytes in a file that only its owner reads.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use aws_lc_rs::aead::RandomizedNonceKey;
use calmesh_app::ports::{SealError, Sealer};

use crate::{
    derive::derive,
    envelope::{self, BY_KEY_FILE, KEY_BYTES, refused},
};

/// Tells sealed bytes of another key file from damaged ones; says nothing of the key.
const KEY_ID_BYTES: usize = 8;
const HEADER_BYTES: usize = 1 + KEY_ID_BYTES;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("the key file {path} can't be read or made")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the key file {path} does not hold {KEY_BYTES} bytes; restore it from a backup")]
    Length { path: PathBuf },
    #[error("the key file {path} can be read by others; run chmod 600 on it")]
    Open { path: PathBuf },
    #[error("the key in {path} can't be used")]
    Key { path: PathBuf },
}

/// `Sealer` with a key file.
pub struct KeyFileSealer {
    key: RandomizedNonceKey,
    header: [u8; HEADER_BYTES],
}

impl fmt::Debug for KeyFileSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFileSealer(••••)")
    }
}

impl KeyFileSealer {
    /// Reads the key, or makes one where there is no file. Of several that start at once, one makes it.
    ///
    /// # Errors
    /// Also for a file that others may read, or of another length: a key is never made over something.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError::Io { path: path.to_owned(), source };
        let file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path).map_err(failed)?;
                fs::File::open(path).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        if open_to_others(&file.metadata().map_err(failed)?) {
            return Err(KeyFileError::Open { path: path.to_owned() });
        }
        let mut bytes = Vec::with_capacity(KEY_BYTES);
        // One byte more than a key has is enough to see that it is none.
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        let unusable = || KeyFileError::Key { path: path.to_owned() };
        if bytes.len() != KEY_BYTES {
            return Err(KeyFileError::Length { path: path.to_owned() });
        }
        let id: [u8; KEY_ID_BYTES] = derive(&bytes, "calmesh/key-id/1").map_err(|_| unusable())?;
        let mut header = [BY_KEY_FILE; HEADER_BYTES];
        for (byte, of_id) in header.iter_mut().skip(1).zip(id) {
            *byte = of_id;
        }
        Ok(Self { key: envelope::key(&bytes).map_err(|_| unusable())?, header })
    }
}

/// Makes the file with a whole key in it, or leaves the one that another process made meanwhile.
fn make(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut random = [0; KEY_BYTES + 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    let (key, suffix) = random.split_at(KEY_BYTES);
    let suffix: String = suffix.iter().map(|byte| format!("{byte:02x}")).collect();
    let unfinished = folder.join(format!(".key-{suffix}.new"));
    let written = write_closed(&unfinished, key).and_then(|()| match fs::hard_link(&unfinished, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A file system without links: nobody else is likely to start at this very moment.
        Err(_) if !path.exists() => fs::rename(&unfinished, path),
        linked => linked,
    });
    drop(fs::remove_file(&unfinished));
    written
}

fn write_closed(path: &Path, key: &[u8]) -> io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(key)?;
    file.sync_all()
}

#[cfg(unix)]
fn open_to_others(about: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn open_to_others(_about: &fs::Metadata) -> bool {
    false
}

#[async_trait]
impl Sealer for KeyFileSealer {
    async fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        envelope::seal(&self.key, &self.header, context, plain)
    }

    async fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        match sealed.split_first_chunk::<HEADER_BYTES>() {
            Some((header, rest)) if *header == self.header => envelope::open(&self.key, header, context, rest),
            Some(([BY_KEY_FILE, ..], _)) => Err(refused("sealed with another key file")),
            _ => Err(refused("not sealed with a key file")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_file_keeps_the_promises_of_a_sealer() {
        let folder = tempfile::tempdir().unwrap();
        calmesh_app::contract::objects::sealer(&KeyFileSealer::open(&folder.path().join("key")).unwrap()).await;
    }

    #[tokio::test]
    async fn what_was_sealed_opens_after_a_restart_and_not_with_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/on/first/use/key");
        let sealed = KeyFileSealer::open(&path).unwrap().seal("kigo/acc_1", b"secret").await.unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        let again = KeyFileSealer::open(&path).unwrap();
        assert_eq!(again.open("kigo/acc_1", &sealed).await.unwrap(), b"secret");
        assert_ne!(again.seal("kigo/acc_1", b"secret").await.unwrap(), sealed, "a nonce was used twice");

        let other = KeyFileSealer::open(&folder.path().join("other")).unwrap();
        let refused = other.open("kigo/acc_1", &sealed).await.unwrap_err();
        assert_eq!(refused.what, "sealed with another key file");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_closed_to_others_and_refused_when_it_is_not() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        KeyFileSealer::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something unfinished was left behind");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(KeyFileSealer::open(&path), Err(KeyFileError::Open { .. })));
    }

    #[test]
    fn a_damaged_key_file_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for length in [0, 31, 33, 64] {
            drop(fs::remove_file(&path));
            write_closed(&path, &vec![7; length]).unwrap();
            assert!(matches!(KeyFileSealer::open(&path), Err(KeyFileError::Length { .. })));
            assert_eq!(fs::read(&path).unwrap().len(), length);
        }
    }

    #[test]
    fn of_many_that_start_at_once_all_have_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let headers: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| KeyFileSealer::open(&path).unwrap().header)).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(headers.iter().all(|header| *header == headers[0]));
    }
}
