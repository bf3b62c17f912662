//! Finds out who contacts are, in the background: no message waits for it, and none is lost by it.
//!
//! It looks when a message comes from somebody who has no name yet. What it cannot find out now it tries
//! again with their next message, so nothing of it need be durable.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tradewind_model::{ConversationId, Source};
use tradewind_sources::{Accounts, AskError, Profile, Provider};
use tradewind_store::{Note, StoreError};

/// Contacts that wait to be looked up; further ones are looked up with their next message.
const LOOKUP_QUEUE_MAX: usize = 1_024;
/// Contacts that are looked up at once.
const PROFILES_AT_ONCE_MAX: usize = 4;
/// Conversations that are remembered as done with; then it forgets them all, and looks again.
const DONE_MAX: usize = 10_000;

/// Longest name that is kept, and longest address of a picture, in bytes.
const NAME_BYTES_MAX: usize = 200;
const URL_BYTES_MAX: usize = 2_048;

/// Whoever is to be looked up. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Profiles {
    queue: mpsc::Sender<Known>,
    done: Done,
}

/// A contact who wrote, and what came with the message about them.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) source: Source,
    pub(crate) conversation_id: ConversationId,
    pub(crate) contact: String,
    pub(crate) profile: Option<Profile>,
}

#[derive(Clone, Debug, Default)]
struct Done(Arc<Mutex<HashSet<ConversationId>>>);

/// Does the looking.
pub(crate) struct Lookups {
    waiting: mpsc::Receiver<Known>,
    done: Done,
    accounts: Accounts,
    providers: Vec<Arc<dyn Provider>>,
}

/// Why it could not be found out now.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Provider(#[from] AskError),
    #[error(transparent)]
    Token(#[from] tradewind_sources::VaultError),
}

impl Profiles {
    pub(crate) fn new(accounts: Accounts, providers: &[Arc<dyn Provider>]) -> (Self, Lookups) {
        let (queue, waiting) = mpsc::channel(LOOKUP_QUEUE_MAX);
        let done = Done::default();
        let lookups = Lookups {
            waiting,
            done: done.clone(),
            accounts,
            providers: providers.to_vec(),
        };
        (Self { queue, done }, lookups)
    }

    /// Looks a contact up some time, unless that was done. Never waits.
    pub(super) fn look_up(&self, known: Known) {
        if !self.done.contains(known.conversation_id) {
            // Full: with the next message.
            let _ = self.queue.try_send(known);
        }
    }
}

impl Done {
    fn contains(&self, conversation: ConversationId) -> bool {
        let done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        done.contains(&conversation)
    }

    fn add(&self, conversation: ConversationId) {
        let mut done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if done.len() >= DONE_MAX {
            done.clear();
        }
        done.insert(conversation);
    }
}

impl Lookups {
    /// Looks contacts up until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let Self {
            waiting,
            done,
            accounts,
            providers,
        } = self;
        let contacts = stream::unfold(waiting, async |mut waiting| {
            let known = waiting.recv().await?;
            Some((known, waiting))
        });
        let work = contacts.for_each_concurrent(PROFILES_AT_ONCE_MAX, async |known| {
            if done.contains(known.conversation_id) {
                return;
            }
            let id = known.conversation_id;
            match look_up(&accounts, &providers, known).await {
                Ok(()) => done.add(id),
                Err(error) => {
                    tracing::debug!(conversation.id = %id, %error, "a contact could not be looked up");
                }
            }
        });
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => stop.cancelled().await,
        }
    }
}

async fn look_up(
    accounts: &Accounts,
    providers: &[Arc<dyn Provider>],
    known: Known,
) -> Result<(), LookupError> {
    let provider = providers
        .iter()
        .find(|provider| provider.source() == known.source && provider.has_profiles());
    if known.profile.is_none() && provider.is_none() {
        return Ok(());
    }
    let store = &accounts.store;
    let Some(conversation) = store.find_conversation(known.conversation_id).await? else {
        return Ok(());
    };
    let contact = conversation.contact;
    if contact.first_name.is_some() || contact.last_name.is_some() {
        return Ok(());
    }
    let profile = match (known.profile, provider) {
        (Some(profile), _) => Some(profile),
        (None, Some(provider)) => {
            let account = accounts.open(conversation.channel)?;
            provider.profile(&account, &known.contact).await?
        }
        (None, None) => None,
    };
    let Some(profile) = profile.filter(|profile| *profile != Profile::default()) else {
        return Ok(());
    };
    let note = Note::Contact {
        first_name: tidy(profile.first_name, NAME_BYTES_MAX),
        last_name: tidy(profile.last_name, NAME_BYTES_MAX),
        avatar_url: tidy(profile.avatar_url, URL_BYTES_MAX).or(contact.avatar_url),
    };
    store.note(known.conversation_id, note).await?;
    Ok(())
}

/// A text that strangers chose, as one line that is not endless.
fn tidy(text: Option<String>, bytes_max: usize) -> Option<String> {
    let text: String = text?.chars().filter(|char| !char.is_control()).collect();
    let end = text.floor_char_boundary(bytes_max);
    let text = text[..end].trim();
    (!text.is_empty()).then(|| text.to_owned())
}
