//! Files that a power cut leaves as they were acknowledged: written beside, synced, renamed, and the name synced.
//!
//! A rename alone is whole for whoever reads, and nothing of it need be on the disk: after a cut the new name may stand for
//! no bytes, or the old one be back.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Where files are while they are not whole. Nothing in it counts.
const UNFINISHED: &str = ".new";

/// One folder whose files are replaced whole. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    root: PathBuf,
    number: Arc<AtomicU64>,
    #[cfg(test)]
    steps: Arc<std::sync::Mutex<Vec<Step>>>,
}

/// What was asked of the file system, in order: what a power cut is made of.
#[cfg(test)]
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Folder(PathBuf),
    Written(PathBuf, Vec<u8>),
    FileSynced(PathBuf),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
    FolderSynced(PathBuf),
}

impl Disk {
    /// Makes the folder where it is missing, and removes what was never finished.
    ///
    /// # Errors
    /// When it can't be made, or can't be written.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let disk = Self {
            root: root.canonicalize()?,
            number: Arc::new(AtomicU64::new(0)),
            #[cfg(test)]
            steps: Arc::default(),
        };
        let unfinished = disk.root.join(UNFINISHED);
        match fs::remove_dir_all(&unfinished) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        disk.make_folder(&unfinished)?;
        Ok(disk)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a folder below the root, with those that it lies in; their names are on the disk when this returns.
    ///
    /// # Errors
    /// When one of them can't be made.
    pub(crate) fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = folder.parent().filter(|above| above.starts_with(&self.root));
        let above = above.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.make_folder(above)?;
        match fs::create_dir(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error),
        }
        #[cfg(test)]
        self.note(Step::Folder(folder.to_owned()));
        self.sync_folder(above)
    }

    /// Replaces a file: whole or not at all, and on the disk when this returns.
    ///
    /// # Errors
    /// When it can't be written; what was there stays.
    pub(crate) fn replace(&self, file: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let folder = file.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.make_folder(folder)?;
        let beside = self.root.join(UNFINISHED).join(self.number.fetch_add(1, Ordering::Relaxed).to_string());
        let placed = self.write(&beside, parts).and_then(|()| {
            fs::rename(&beside, file)?;
            #[cfg(test)]
            self.note(Step::Renamed(beside.clone(), file.to_owned()));
            Ok(())
        });
        if let Err(error) = placed {
            drop(fs::remove_file(&beside));
            return Err(error);
        }
        self.sync_folder(folder)
    }

    fn write(&self, file: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let create = || File::options().create(true).truncate(true).write(true).open(file);
        let mut opened = match create() {
            // Somebody cleared the folder meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_folder(&self.root.join(UNFINISHED))?;
                create()?
            }
            opened => opened?,
        };
        for part in parts {
            opened.write_all(part)?;
        }
        #[cfg(test)]
        self.note(Step::Written(file.to_owned(), parts.concat()));
        opened.sync_all()?;
        #[cfg(test)]
        self.note(Step::FileSynced(file.to_owned()));
        Ok(())
    }

    /// Removes a file, if it is there; it stays away when this returns.
    ///
    /// # Errors
    /// When it is there and can't be removed.
    pub(crate) fn remove(&self, file: &Path) -> io::Result<()> {
        match fs::remove_file(file) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        #[cfg(test)]
        self.note(Step::Removed(file.to_owned()));
        file.parent().map_or(Ok(()), |folder| self.sync_folder(folder))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // Elsewhere a folder can't be opened, and names are the file system's own affair.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        #[cfg(test)]
        self.note(Step::FolderSynced(folder.to_owned()));
        Ok(())
    }
}

#[cfg(test)]
impl Disk {
    fn note(&self, step: Step) {
        self.steps.lock().unwrap().push(step);
    }

    /// All that was asked of the file system since it was opened.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.steps.lock().unwrap().clone()
    }
}

/// What may lie on the disk after a cut. A file system may keep any of what was not synced, and lose any of it.
#[cfg(test)]
pub(crate) mod cut {
    use std::collections::BTreeMap;

    use super::*;

    /// What became of what was not synced.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Unsynced {
        /// Names and bytes are gone.
        Lost,
        /// Names are there, their bytes are not.
        Empty,
        /// Names are there, with half of their bytes.
        Torn,
        /// Everything is there, as after a kill.
        Kept,
    }

    /// Makes below `at` what these steps below `root` left after a cut.
    pub(crate) fn leaves(steps: &[Step], root: &Path, at: &Path, unsynced: Unsynced) {
        let mut files: Vec<(Vec<u8>, bool)> = Vec::new();
        let (mut seen, mut kept): (BTreeMap<PathBuf, Option<usize>>, BTreeMap<PathBuf, Option<usize>>) =
            (BTreeMap::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Folder(folder) => drop(seen.insert(folder.clone(), None)),
                Step::Written(file, bytes) => {
                    files.push((bytes.clone(), false));
                    seen.insert(file.clone(), Some(files.len() - 1));
                }
                Step::FileSynced(file) => files[seen[file].unwrap()].1 = true,
                Step::Renamed(from, to) => {
                    let moved = seen.remove(from).unwrap();
                    seen.insert(to.clone(), moved);
                }
                Step::Removed(file) => drop(seen.remove(file)),
                Step::FolderSynced(folder) => {
                    let inside = |path: &PathBuf| path.parent() == Some(folder);
                    kept.retain(|path, _| !inside(path));
                    kept.extend(seen.iter().filter(|(path, _)| inside(path)).map(|(path, file)| (path.clone(), *file)));
                }
            }
        }
        let names = if unsynced == Unsynced::Lost { kept } else { seen };
        for (path, file) in names {
            let there = at.join(path.strip_prefix(root).unwrap());
            let Some((bytes, synced)) = file.map(|file| &files[file]) else {
                // A folder whose own name was lost takes with it what is in it.
                drop(fs::create_dir(there));
                continue;
            };
            let bytes = match unsynced {
                _ if *synced => &bytes[..],
                Unsynced::Kept => &bytes[..],
                Unsynced::Torn => &bytes[..bytes.len() / 2],
                Unsynced::Lost | Unsynced::Empty => &[],
            };
            if there.parent().is_some_and(Path::is_dir) {
                fs::write(there, bytes).unwrap();
            }
        }
    }
}
