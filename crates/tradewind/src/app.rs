//! What handlers work with: the ready components, built once when the program starts.

mod own;
mod sources;

use std::{sync::Arc, time::Duration};

use axum::http::HeaderValue;
use ipnet::IpNet;
use tokio::sync::OwnedSemaphorePermit;
use tradewind_delivery::{dispatcher::DispatcherHandle, guard::Guard, transport::Transport};
use tradewind_model::{Clock, Random, Source};
use tradewind_sources::{Provider, chat_plugin::SessionTokens};
use tradewind_store::{Store, StoreError};

use crate::{
    api::{
        health::LastLook,
        limit::{LoginLimits, RequestLimit},
    },
    lifecycle::Tasks,
    live::hub::Hub,
    password::Passwords,
    settings::Settings,
    token::FixedToken,
};

pub(crate) use own::OWN_SOURCES_MAX;
pub(crate) use sources::SourceParts;

/// A connection's place among those that may be open at once. Whoever takes the connection over keeps it.
#[derive(Clone)]
pub(crate) struct ConnectionPermit(
    #[expect(dead_code, reason = "it counts while it lives")] pub(crate) Arc<OwnedSemaphorePermit>,
);

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) tasks: Tasks,
    pub(crate) dispatcher: DispatcherHandle,
    pub(crate) guard: Guard,
    pub(crate) transport: Transport,
    pub(crate) hub: Hub,
    pub(crate) sources: SourceParts,
    pub(crate) session_tokens: SessionTokens,
    /// The token that the settings name, if they do.
    pub(crate) fixed_token: Option<FixedToken>,
    /// Longest request body, in bytes.
    pub(crate) body_bytes_max: usize,
    /// Longest text of a message, in bytes.
    pub(crate) text_bytes_max: usize,
    /// Longest time of one request.
    pub(crate) request_max: Duration,
    pub(crate) last_look: LastLook,
    pub(crate) access: Access,
}

/// Who may come in, and how often.
pub(crate) struct Access {
    pub(crate) passwords: Passwords,
    pub(crate) login_limits: LoginLimits,
    /// Whether somebody may sign up while there is no user yet.
    pub(crate) signup: bool,
    /// How long a login is good.
    pub(crate) login_lasts: Duration,
    /// How many requests a token may make; `None`: any number.
    pub(crate) request_limit: Option<Arc<RequestLimit>>,
    /// Who may say where a request comes from.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Origins of web pages that may call.
    pub(crate) cors_origins: Vec<HeaderValue>,
}

impl Access {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            passwords: Passwords::default(),
            login_limits: LoginLimits::default(),
            signup: settings.server.signup,
            login_lasts: settings.login_lasts(),
            request_limit: settings
                .request_limit()
                .map(RequestLimit::new)
                .map(Arc::new),
            trusted_proxies: settings.trusted_proxies(),
            cors_origins: settings.cors_origins(),
        }
    }
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Who speaks with a source, also with one of somebody else's.
    pub(crate) async fn find_provider(
        &self,
        source: &Source,
    ) -> Result<Option<Arc<dyn Provider>>, StoreError> {
        let mut providers = self.sources.all.providers.iter();
        match providers.find(|provider| provider.source() == *source) {
            Some(provider) => Ok(Some(Arc::clone(provider))),
            None => self.sources.own.find(source).await,
        }
    }
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
