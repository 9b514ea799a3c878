//! The store's folder and files: made for their owner only, and used by one process at a time. It must not know what
//! is in them.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use sameroom_engine::ports::Unavailable;

use super::errors::OpenError;

/// The lock's name in the data folder. What is in it is for people; the lock is the kernel's and ends with the process.
const FILE: &str = "sameroom.lock";

pub(super) fn make_folder(folder: &Path) -> Result<(), OpenError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|why| OpenError::path(folder, why))
}

pub(super) fn make_file(path: &Path) -> Result<(), OpenError> {
    private()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|why| OpenError::path(path, why))?;
    Ok(())
}

/// Takes the folder's lock, for as long as the file is open.
pub(super) fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(FILE);
    let trouble = |why| OpenError::path(&path, why);
    let mut file = private().read(true).write(true).create(true).truncate(false).open(&path).map_err(trouble)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.take(100).read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if holder.is_empty() { "an unknown process".into() } else { format!("process {holder}") };
            return Err(OpenError::Locked { folder: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(why)) => return Err(trouble(why)),
    }
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(trouble)?;
    Ok(file)
}

/// Makes the target, which must not exist, has the copy written to it, and sees it to the disk. Half a copy is removed.
pub(super) fn copy_to(target: &Path, copy: impl FnOnce(&str) -> Result<(), Unavailable>) -> Result<(), Unavailable> {
    let trouble = |why: io::Error| {
        let name = target.display();
        if why.kind() == io::ErrorKind::AlreadyExists {
            return Unavailable::new(format_args!("{name} exists already: name a file that does not"));
        }
        let full = why.kind() == io::ErrorKind::StorageFull;
        Unavailable { why: format!("the copy {name} can't be written: {why}"), full }
    };
    let name = target.to_str().ok_or_else(|| Unavailable::new("the copy's name must be in UTF-8"))?;
    let file = private().write(true).create_new(true).open(target).map_err(trouble)?;
    let copied = copy(name).and_then(|()| {
        file.sync_all().map_err(trouble)?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(trouble)
    });
    if copied.is_err() {
        let _ = std::fs::remove_file(target);
    }
    copied
}

/// Files are for their owner only. SQLite makes its log with the database's mode.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
