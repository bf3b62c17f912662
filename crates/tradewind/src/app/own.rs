//! Sources of one's own: who speaks with each, as the store tells.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tradewind_delivery::{
    attempt::{Consumer, Repliers},
    transport::Transport,
};
use tradewind_model::{Clock, Source};
use tradewind_sources::{Accounts, Own, Provider, Replies};
use tradewind_store::{OwnSource, StoreError};

/// Sources of one's own.
pub(crate) const OWN_SOURCES_MAX: u32 = 100;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct OwnSources(Arc<Parts>);

struct Parts {
    accounts: Accounts,
    /// What answers a connector's is read as a whole.
    transport: Transport,
    clock: Arc<dyn Clock>,
    /// Who carries replies to those that are always there.
    built_in: Vec<Arc<dyn Consumer>>,
    /// And to those that were there at the last look.
    known: Mutex<Vec<(OwnSource, Arc<dyn Consumer>)>>,
}

impl OwnSources {
    /// `built_in` are the sources that are always there.
    pub(crate) fn new(
        built_in: &[Arc<dyn Provider>],
        accounts: Accounts,
        transport: Transport,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let replies = built_in.iter().map(|provider| -> Arc<dyn Consumer> {
            Arc::new(Replies::new(Arc::clone(provider), accounts.clone()))
        });
        Self(Arc::new(Parts {
            built_in: replies.collect(),
            accounts,
            transport,
            clock,
            known: Mutex::default(),
        }))
    }

    pub(crate) async fn list(&self) -> Result<Vec<OwnSource>, StoreError> {
        let limit = usize::try_from(OWN_SOURCES_MAX).unwrap_or(usize::MAX);
        self.0.accounts.store.list_sources(limit).await
    }

    /// Who speaks with the source of this name.
    pub(crate) async fn find(
        &self,
        source: &Source,
    ) -> Result<Option<Arc<dyn Provider>>, StoreError> {
        let mut all = self.list().await?.into_iter();
        let found = all.find(|own| own.source == *source);
        Ok(found.map(|own| self.provider(own)))
    }

    fn provider(&self, source: OwnSource) -> Arc<dyn Provider> {
        let parts = &self.0;
        let (accounts, transport) = (parts.accounts.clone(), parts.transport.clone());
        Arc::new(Own::new(
            source,
            accounts,
            transport,
            Arc::clone(&parts.clock),
        ))
    }
}

#[async_trait]
impl Repliers for OwnSources {
    async fn list(&self) -> Result<Vec<Arc<dyn Consumer>>, StoreError> {
        let own = Self::list(self).await?;
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(before, _)| own.contains(before));
        for source in own {
            if !known.iter().any(|(before, _)| *before == source) {
                let provider = self.provider(source.clone());
                let replies = Replies::new(provider, self.0.accounts.clone());
                known.push((source, Arc::new(replies)));
            }
        }
        let own = known.iter().map(|(_, replies)| replies);
        Ok(self.0.built_in.iter().chain(own).cloned().collect())
    }
}
