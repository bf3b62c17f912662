//! Settings: built-in defaults, then the file, then the environment, then the command line. The later
//! wins. Unknown keys of the file are refused, because a typo there would otherwise be silent.

mod read;
mod value;

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use anyhow::ensure;
use axum::http::HeaderValue;
use ipnet::IpNet;
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tradewind_delivery::{lanes::Limits, transport::TransportLimits};
use tradewind_sources::config::{
    ApiUrl, Config, GoogleConfig, MetaConfig, TelegramConfig, TwilioConfig,
};
use tradewind_store::Retention;

pub(crate) use read::{client_token, crash_point, log_filter};
pub(crate) use value::{Listen, Net, Origin};

/// Shortest `secret_key`: what has fewer characters can be guessed.
const SECRET_KEY_BYTES_MIN: usize = 32;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Where to listen.
    pub(crate) listen: Listen,
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The address of a `PostgreSQL` database to keep everything in, instead of the data directory. All
    /// nodes that have the same one are one cluster.
    #[serde(deserialize_with = "value::secret")]
    pub(crate) database: Option<SecretString>,
    /// Networks that webhooks may reach although they are not public.
    pub(crate) webhook_allow: Vec<Net>,
    /// An admin token to accept; without it one is made at the first start.
    #[serde(deserialize_with = "value::secret")]
    pub(crate) api_token: Option<SecretString>,
    /// What the tokens of channels are sealed with in the database; without it, a key is made at the first
    /// start and kept in the data directory.
    #[serde(deserialize_with = "value::secret")]
    pub(crate) secret_key: Option<SecretString>,
    /// Where providers and people reach this server, if it is behind a proxy.
    pub(crate) public_url: Option<ApiUrl>,
    pub(crate) server: Server,
    pub(crate) delivery: Delivery,
    pub(crate) retention: RetentionDays,
    pub(crate) meta: MetaConfig,
    pub(crate) twilio: TwilioConfig,
    pub(crate) google: GoogleConfig,
    pub(crate) telegram: TelegramConfig,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    /// Longest request body, in bytes.
    pub(crate) body_bytes_max: usize,
    /// Longest text of a message, in bytes.
    pub(crate) text_bytes_max: usize,
    /// Connections at once, sockets included; a further one waits.
    pub(crate) connections_max: usize,
    /// Seconds that one request may take.
    pub(crate) request_seconds: u64,
    /// Connections to the database that `database` names, without the two that listen and renew.
    pub(crate) database_connections: usize,
    /// Seconds without a sign of life after which a node of a cluster is taken for dead.
    pub(crate) lease_seconds: u64,
    /// Requests a second that each token may make; 0: any number.
    pub(crate) requests_per_second: u32,
    /// Whether somebody may sign up while there is no user yet.
    pub(crate) signup: bool,
    /// Hours that a login of a user lasts.
    pub(crate) login_hours: u64,
    /// Networks of proxies whose `X-Forwarded-For` says where a request comes from.
    pub(crate) trusted_proxies: Vec<Net>,
    /// Web pages of these origins may call the API; `*` is any.
    pub(crate) cors_origins: Vec<Origin>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Delivery {
    /// Seconds that one attempt may take.
    pub(crate) timeout_seconds: u64,
    /// Attempts at once for one webhook.
    pub(crate) in_flight_max: usize,
    /// Events of one webhook in memory.
    pub(crate) window_max: usize,
    /// Conversations of one webhook that may wait for a retry before nothing new is read for it.
    pub(crate) held_max: usize,
    /// Seconds that an event may fail, while others pass, before it is set aside.
    pub(crate) set_aside_seconds: u64,
    /// Retries a second, for one webhook, that may fail.
    pub(crate) retries_per_second: u32,
    /// Messages of our own side in a row, each an answer to the event before, that are a loop; 0: none.
    pub(crate) loop_max: u32,
}

/// Days that things are kept; 0 is for ever.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_field_names,
    reason = "a setting's name ends with its unit"
)]
pub(crate) struct RetentionDays {
    /// Events, delivered or not.
    pub(crate) events_days: u32,
    pub(crate) messages_days: u32,
    pub(crate) idempotency_keys_days: u32,
    /// The record of attempts.
    pub(crate) attempts_days: u32,
    /// The record of who changed what.
    pub(crate) audit_days: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Listen(SocketAddr::from(([127, 0, 0, 1], 8080))),
            data: PathBuf::from("./tradewind-data"),
            database: None,
            webhook_allow: Vec::new(),
            api_token: None,
            secret_key: None,
            public_url: None,
            server: Server::default(),
            delivery: Delivery::default(),
            retention: RetentionDays::default(),
            meta: MetaConfig::default(),
            twilio: TwilioConfig::default(),
            google: GoogleConfig::default(),
            telegram: TelegramConfig::default(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            text_bytes_max: 64 << 10,
            connections_max: 20_000,
            request_seconds: 30,
            database_connections: 16,
            lease_seconds: 5,
            requests_per_second: 0,
            signup: true,
            login_hours: 24 * 7,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            timeout_seconds: 15,
            in_flight_max: limits.in_flight_max,
            window_max: limits.entries_max,
            held_max: limits.held_max,
            set_aside_seconds: limits.set_aside_after.map_or(0, |after| after.as_secs()),
            retries_per_second: limits.retries_per_second,
            loop_max: limits.loop_max,
        }
    }
}

impl Default for RetentionDays {
    fn default() -> Self {
        Self {
            events_days: 30,
            messages_days: 400,
            idempotency_keys_days: 30,
            attempts_days: 7,
            audit_days: 400,
        }
    }
}

/// What the command line says; it wins over all else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) config: Option<PathBuf>,
    pub(crate) listen: Option<Listen>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) database: Option<SecretString>,
    pub(crate) webhook_allow: Vec<Net>,
}

impl Settings {
    /// Reads everything that can hold a setting.
    ///
    /// # Errors
    /// With the name of the setting that is wrong and what it must be.
    pub(crate) fn load(flags: &Flags) -> anyhow::Result<Self> {
        let environment = read::environment()?;
        let file = read::file(flags, &environment)?;
        Self::build(&file, &environment, flags)
    }

    fn build(file: &str, environment: &[(String, String)], flags: &Flags) -> anyhow::Result<Self> {
        let mut table: toml::Table = file.parse().map_err(|error| read::not_toml(file, &error))?;
        for (name, value) in environment {
            if read::is_setting(name, value)? {
                read::set_variable(&mut table, name, value)?;
            }
        }
        read::resolve_files(&mut table)?;
        let mut settings: Self = table.try_into().map_err(|error| read::one_line(&error))?;
        settings.listen = flags.listen.unwrap_or(settings.listen);
        if let Some(data) = &flags.data {
            settings.data.clone_from(data);
        }
        if flags.database.is_some() {
            settings.database.clone_from(&flags.database);
        }
        if !flags.webhook_allow.is_empty() {
            settings.webhook_allow.clone_from(&flags.webhook_allow);
        }
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        let Self {
            server,
            delivery,
            retention,
            ..
        } = self;
        within(
            "server.body_bytes_max",
            server.body_bytes_max,
            1_024,
            64 << 20,
        )?;
        within("server.text_bytes_max", server.text_bytes_max, 1, 1 << 20)?;
        within(
            "server.connections_max",
            server.connections_max,
            1,
            1_000_000,
        )?;
        within("server.request_seconds", server.request_seconds, 1, 300)?;
        let connections = server.database_connections;
        within("server.database_connections", connections, 2, 1_000)?;
        within("server.lease_seconds", server.lease_seconds, 1, 60)?;
        within("server.login_hours", server.login_hours, 1, 24 * 366)?;
        within("delivery.timeout_seconds", delivery.timeout_seconds, 1, 60)?;
        within("delivery.in_flight_max", delivery.in_flight_max, 1, 10_000)?;
        within("delivery.window_max", delivery.window_max, 128, 1_000_000)?;
        within("delivery.held_max", delivery.held_max, 1, 1_000_000)?;
        let set_aside_seconds = delivery.set_aside_seconds;
        within(
            "delivery.set_aside_seconds",
            set_aside_seconds,
            1,
            2_592_000,
        )?;
        let retries_per_second = delivery.retries_per_second;
        within(
            "delivery.retries_per_second",
            retries_per_second,
            1,
            100_000,
        )?;
        within("delivery.loop_max", delivery.loop_max, 0, 1_000_000)?;
        let secret_key = self.secret_key.as_ref();
        ensure!(
            secret_key.is_none_or(|key| key.expose_secret().len() >= SECRET_KEY_BYTES_MIN),
            "secret_key: must be at least {SECRET_KEY_BYTES_MIN} characters"
        );
        let RetentionDays {
            events_days,
            messages_days,
            ..
        } = *retention;
        ensure!(
            events_days == 0 || events_days >= 4,
            "retention.events_days: {events_days} is less than 4, the days that retries take"
        );
        ensure!(
            messages_days == 0 || (events_days != 0 && messages_days >= events_days),
            "retention.messages_days: {messages_days} must be at least retention.events_days ({events_days}; 0 is for ever), as events need their messages"
        );
        Ok(())
    }

    /// What is said of providers.
    pub(crate) fn sources(&self) -> Config {
        Config {
            meta: self.meta.clone(),
            twilio: self.twilio.clone(),
            google: self.google.clone(),
            telegram: self.telegram.clone(),
        }
    }

    pub(crate) fn networks(&self) -> Vec<IpNet> {
        self.webhook_allow.iter().map(|Net(net)| *net).collect()
    }

    pub(crate) fn trusted_proxies(&self) -> Vec<IpNet> {
        let networks = self.server.trusted_proxies.iter();
        networks.map(|Net(net)| *net).collect()
    }

    pub(crate) fn cors_origins(&self) -> Vec<HeaderValue> {
        let origins = self.server.cors_origins.iter();
        origins.map(|Origin(origin)| origin.clone()).collect()
    }

    pub(crate) fn login_lasts(&self) -> Duration {
        Duration::from_hours(self.server.login_hours)
    }

    pub(crate) fn request_limit(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.server.requests_per_second)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            in_flight_max: self.delivery.in_flight_max,
            entries_max: self.delivery.window_max,
            held_max: self.delivery.held_max,
            set_aside_after: Some(Duration::from_secs(self.delivery.set_aside_seconds)),
            retries_per_second: self.delivery.retries_per_second,
            loop_max: self.delivery.loop_max,
            ..Limits::default()
        }
    }

    pub(crate) fn retention(&self) -> Retention {
        let days = |days: u32| (days > 0).then(|| SignedDuration::from_hours(i64::from(days) * 24));
        Retention {
            log: days(self.retention.events_days),
            messages: days(self.retention.messages_days),
            idempotency_keys: days(self.retention.idempotency_keys_days),
            attempts: days(self.retention.attempts_days),
            audit: days(self.retention.audit_days),
        }
    }

    pub(crate) fn transport_limits(&self) -> TransportLimits {
        TransportLimits {
            deadline: Duration::from_secs(self.delivery.timeout_seconds),
            ..TransportLimits::default()
        }
    }
}

fn within<T: Copy + PartialOrd + std::fmt::Display>(
    name: &str,
    value: T,
    min: T,
    max: T,
) -> anyhow::Result<()> {
    ensure!(
        min <= value && value <= max,
        "{name}: {value} is not {min} to {max}"
    );
    Ok(())
}

#[cfg(test)]
mod tests;
