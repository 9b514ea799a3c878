//! The database's tables, how a connection to it is opened, and which formats are known. It must not know what the
//! rows mean.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::errors::OpenError;

/// The format written here. A higher one in a file is refused.
const FORMAT: i64 = 1;
/// `Srm1`, in the file's header: tells `file` and us whose it is. https://www.sqlite.org/pragma.html#pragma_application_id
const APPLICATION: i64 = 0x5372_6d31;

/// `jobs` has its index by group only to page a backlog in; in the happy path a job is inserted and deleted by its id.
/// `seen.id` is one half of a dedup id's hash and `rest` the other: an integer key is what SQLite is quickest with.
/// Times are in microseconds since 1970, but for `seen.at`, in seconds.
const TABLES: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE rows (
        partition TEXT NOT NULL, sort TEXT NOT NULL, body BLOB NOT NULL, version INTEGER NOT NULL, expires INTEGER,
        PRIMARY KEY (partition, sort)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, grp TEXT NOT NULL, body BLOB NOT NULL,
        attempts INTEGER NOT NULL, maybe INTEGER NOT NULL, ready_at INTEGER NOT NULL, delay INTEGER NOT NULL,
        accepted INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX jobs_by_group ON jobs (queue, grp);
    CREATE TABLE seen (id INTEGER PRIMARY KEY, rest INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;
    CREATE TABLE tally (name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// Opens the connection that writes, makes the tables if there are none, and checks the format.
pub(super) fn open_writer(path: &Path, durable: bool) -> Result<Connection, OpenError> {
    let trouble = |error: rusqlite::Error| OpenError::database(path, &error);
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | common()).map_err(trouble)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(trouble)?;
    check_format(&connection, path)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(trouble)?;
    if mode != "wal" {
        let why = format!("its file system does not allow SQLite's write-ahead log (journal mode {mode})");
        return Err(OpenError::Other { path: path.to_owned(), why });
    }
    tune(&connection, durable).map_err(trouble)?;
    let known: bool =
        connection.query_row("SELECT count(*) > 0 FROM sqlite_schema", [], |row| row.get(0)).map_err(trouble)?;
    if !known {
        let make = format!(
            "BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION}; {TABLES}
             INSERT INTO meta (name, value) VALUES ('format', {FORMAT}), ('clean', 1); COMMIT;"
        );
        connection.execute_batch(&make).map_err(trouble)?;
    }
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | common())?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(16);
    plan_once(&connection)?;
    Ok(connection)
}

/// Opens a connection that copies the write-ahead log into the database.
pub(super) fn open_checkpointer(path: &Path, durable: bool) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | common())?;
    tune(&connection, durable)?;
    Ok(connection)
}

/// Each connection is used by one thread at a time, so SQLite needs no lock of its own.
fn common() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Without this SQLite plans a prepared statement anew whenever a value in a comparison changes, to look it up in its
/// statistics; there are none here. <https://www.sqlite.org/queryplanner-ng.html#qpstab>
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn tune(connection: &Connection, durable: bool) -> rusqlite::Result<()> {
    plan_once(connection)?;
    // FULL: in WAL mode, a commit is on the disk before it is answered. https://www.sqlite.org/pragma.html#pragma_synchronous
    connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "OFF" })?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // KiB. SQLite looks through its whole table of cached pages at the end of most commits here, so more cost more than
    // reading a page again from the kernel's cache.
    connection.pragma_update(None, "cache_size", -4 * 1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The bytes of a delivered message are wiped where they lay. FAST leaves them in pages that became free.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)
}

fn check_format(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let trouble = |error: rusqlite::Error| OpenError::database(path, &error);
    let read = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(trouble);
    if read("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(());
    }
    if read("PRAGMA application_id")? != APPLICATION {
        return Err(OpenError::NotADatabase { path: path.to_owned() });
    }
    let found = read("SELECT value FROM meta WHERE name = 'format'")?;
    if found > FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT });
    }
    Ok(())
}
