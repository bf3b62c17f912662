//! Sources that somebody else connects, each known by a token of its own.

use async_trait::async_trait;
use tradewind_model::{Actor, Source, Timestamp};

use crate::{StoreError, TokenHash};

/// A source whose connector is somebody else's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSource {
    pub source: Source,
    /// What people call it.
    pub name: Option<String>,
    pub image_url: Option<String>,
    /// Where messages for it go. `None`: it takes none.
    pub action_url: Option<String>,
    /// Its token, which signs what is sent there; sealed.
    pub sealed_token: String,
    pub created_at: Timestamp,
}

/// What came of making a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    Done,
    /// There is one of that name.
    NameTaken,
    /// There are as many as there may be.
    Full,
}

/// Sources that somebody else connects. A change counts as one of [`crate::Store::webhooks_changed`], and is
/// written at once with the record of who made it.
#[async_trait]
pub trait OwnSources {
    /// Makes a source that is known by the token with this hash. Its replies begin after the newest entry of
    /// the log. At most `max` are kept.
    async fn create_source(
        &self,
        source: OwnSource,
        hash: TokenHash,
        max: u64,
        by: Actor,
    ) -> Result<Created, StoreError>;

    /// All of them, the oldest first. Bounded by `limit`.
    async fn list_sources(&self, limit: usize) -> Result<Vec<OwnSource>, StoreError>;

    /// The source that is known by this token.
    async fn find_source(&self, hash: TokenHash) -> Result<Option<OwnSource>, StoreError>;

    /// Forgets a source and where its replies stand, disconnects its channels and erases their tokens. Its
    /// conversations stay; of what was to be sent, nothing is sent any more. `false`: there is none of that name.
    async fn delete_source(&self, name: Source, by: Actor) -> Result<bool, StoreError>;
}
