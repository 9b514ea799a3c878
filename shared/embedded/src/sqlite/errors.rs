//! What can go wrong with the database, in sentences that name the file and the cure.

use std::path::{Path, PathBuf};

use rusqlite::ffi::ErrorCode;
use sameroom_engine::ports::Unavailable;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the data folder {} is in use by another sameroom ({holder}): stop that one first, or choose another folder",
        folder.display()
    )]
    Locked {
        /// The data folder.
        folder: PathBuf,
        /// `process 123`, as far as is known.
        holder: String,
    },
    /// The folder or a file in it can't be made, read or written.
    #[error("{} can't be used: {why}: choose another data folder, or mend its permissions", path.display())]
    Path {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// There is no room left.
    #[error("{} can't be opened, as the disk is full: make room and start again", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// It is some other file.
    #[error("{} is not a Sameroom database: move it away, or choose another data folder", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged.
    #[error("{} is damaged ({why}): put a backup in its place", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        why: String,
    },
    /// A newer Sameroom wrote it.
    #[error(
        "{} was written by a newer Sameroom (format {found}, this one knows {known}): start that version or a newer \
         one, or put a backup in its place",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is known here.
        known: i64,
    },
    /// Something else.
    #[error("{} can't be opened: {why}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        why: String,
    },
}

impl OpenError {
    pub(super) fn path(path: &Path, why: std::io::Error) -> Self {
        if why.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full { path: path.to_owned() };
        }
        Self::Path { path: path.to_owned(), why }
    }

    pub(super) fn database(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, why: error.to_string() },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::Path { path, why: std::io::Error::other(error.to_string()) }
            }
            _ => Self::Other { path, why: error.to_string() },
        }
    }
}

/// What a failure of the database means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// This transaction did not happen. The next one may.
    Passing(Unavailable),
    /// The disk can't be trusted. After an I/O error, a failed fsync above all, the kernel may have dropped the pages
    /// that it could not write; trying again would report as durable what is not.
    Fatal(Unavailable),
}

pub(super) fn failure(path: &Path, error: &rusqlite::Error) -> Failure {
    let file = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Failure::Passing(Unavailable {
            why: format!("there is no room left to write {file}: make room on that disk, and work goes on"),
            full: true,
        }),
        Some(ErrorCode::SystemIoFailure) => Failure::Fatal(Unavailable::new(format_args!(
            "writing or reading {file} failed ({error}): check the disk, then start again"
        ))),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Failure::Fatal(Unavailable::new(format_args!(
            "{file} is damaged ({error}): stop, and put a backup in its place"
        ))),
        _ => Failure::Passing(Unavailable::new(format_args!("{file}: {error}"))),
    }
}

/// The same, where there is no difference: for readers.
pub(super) fn unavailable(path: &Path, error: &rusqlite::Error) -> Unavailable {
    let (Failure::Passing(why) | Failure::Fatal(why)) = failure(path, error);
    why
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn failed(code: i32) -> Failure {
        failure(Path::new("sameroom.db"), &rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn f8_a_failed_fsync_is_fatal() {
        assert!(matches!(failed(ffi::SQLITE_IOERR_FSYNC), Failure::Fatal(why) if !why.full));
        assert!(matches!(failed(ffi::SQLITE_IOERR_WRITE), Failure::Fatal(_)));
        assert!(matches!(failed(ffi::SQLITE_CORRUPT), Failure::Fatal(_)));
    }

    #[test]
    fn f9_a_full_disk_passes() {
        assert!(matches!(failed(ffi::SQLITE_FULL), Failure::Passing(why) if why.full));
        assert!(matches!(failed(ffi::SQLITE_BUSY), Failure::Passing(why) if !why.full));
    }
}
