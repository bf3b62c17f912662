//! The sources, and what handlers need beside them.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Semaphore;
use tradewind_delivery::transport::Transport;
use tradewind_model::{Clock, Random, Timestamp};
use tradewind_sources::{
    Accounts, Client, HOOK_SECRET_NAME, MEDIA_SECRET_NAME, MediaKey, Sources, Tools,
};
use tradewind_store::Store;

use super::own::OwnSources;
use crate::{
    inbound::{intake::Intake, profiles::Profiles, tally::Tally},
    lifecycle::Tasks,
    media::FILES_MAX,
    secret_key,
    settings::Settings,
};

pub(crate) struct SourceParts {
    pub(crate) all: Sources,
    pub(crate) own: OwnSources,
    pub(crate) accounts: Accounts,
    pub(crate) intake: Intake,
    pub(crate) tally: Tally,
    /// Since when it counts.
    pub(crate) since: Timestamp,
    pub(crate) media_key: MediaKey,
    /// Files that may be passed on at once.
    pub(crate) files: Arc<Semaphore>,
    /// Where the settings say that this server is reached, without a slash at the end.
    pub(crate) public_url: Option<String>,
}

impl SourceParts {
    /// The sources that the settings tell of. Contacts are looked up by a task of its own.
    pub(crate) async fn open(
        settings: &Settings,
        transport: &Transport,
        (store, clock, random): (&Arc<dyn Store>, &Arc<dyn Clock>, &dyn Random),
        tasks: &Tasks,
    ) -> anyhow::Result<Self> {
        let public_url = settings.public_url.as_ref();
        let public_url = public_url.map(|url| url.as_str().to_owned());
        let tools = Tools {
            client: Client::new().context("no HTTP client")?,
            clock: Arc::clone(clock),
            public_url: public_url.clone(),
            hook_key: store.secret(HOOK_SECRET_NAME, random.secret()).await?,
        };
        let all = Sources::new(&settings.sources(), &tools);
        let accounts = Accounts {
            store: Arc::clone(store),
            vault: secret_key::vault(settings, random)?,
        };
        // What a connector answers is read as a whole.
        let transport = transport.keeping(settings.transport_limits().body_bytes_max);
        let own = OwnSources::new(
            &all.providers,
            accounts.clone(),
            transport,
            Arc::clone(clock),
        );
        let (profiles, lookups) = Profiles::new(accounts.clone(), &all.providers);
        tasks.spawn_service("profiles", lookups.run(tasks.stop_token()));
        let media_key = store.secret(MEDIA_SECRET_NAME, random.secret()).await?;
        let tally = Tally::default();
        Ok(Self {
            all,
            own,
            accounts,
            intake: Intake {
                store: Arc::clone(store),
                clock: Arc::clone(clock),
                tally: tally.clone(),
                profiles,
            },
            tally,
            since: clock.now(),
            media_key: MediaKey::new(media_key),
            files: Arc::new(Semaphore::new(FILES_MAX)),
            public_url,
        })
    }
}
