//! Which migrations a database still needs. Forward only: each runs once and is recorded with the checksum
//! of its text; a released one is never edited, and a database that knows more than this program is left
//! alone.

use sha2::{Digest as _, Sha256};

use crate::OpenError;

/// A migration that is to be applied.
pub(crate) struct Migration {
    /// The first has number 1.
    pub(crate) number: u64,
    pub(crate) sql: &'static str,
    pub(crate) checksum: [u8; 32],
}

/// Those of `migrations` that are not among the `applied`, which are numbers and checksums, in order.
pub(crate) fn pending(
    migrations: &[&'static str],
    applied: &[(u64, Vec<u8>)],
) -> Result<Vec<Migration>, OpenError> {
    let known = migrations.len();
    if applied.len() > known {
        let found = applied.len();
        return Err(OpenError::NewerSchema { found, known });
    }
    let mut pending = Vec::new();
    for (number, sql) in (1_u64..).zip(migrations) {
        let checksum: [u8; 32] = Sha256::digest(sql).into();
        match applied.iter().find(|(known, _)| *known == number) {
            Some((_, recorded)) if *recorded == checksum => {}
            Some(_) => return Err(OpenError::ChangedMigration { number }),
            None => pending.push(Migration {
                number,
                sql,
                checksum,
            }),
        }
    }
    Ok(pending)
}
