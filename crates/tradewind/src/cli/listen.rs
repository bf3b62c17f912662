//! `tradewind listen`: deliveries for a developer's machine, pulled instead of pushed.
//!
//! One task holds everything: the pull under way, the attempts in flight and the [`Queue`] that says
//! what may go out. At least once: an event counts as delivered when its answer is here, and only then
//! does the cursor in the state file pass it.

mod forward;
mod queue;
mod state;

use std::{path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use tokio::time::Instant;
use uuid::{Builder, Uuid};

use self::{
    forward::{Attempt, Forwarder},
    queue::{Next, Queue},
    state::StateFile,
};
use crate::{
    cli::{
        client::{PullOptions, Pulled, Puller},
        output,
    },
    server::Signals,
    settings,
};

/// How long progress gathers before it is written. After a crash, what was accepted since comes again.
const SAVE_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, which are not Markdown"
)]
pub(crate) struct ListenOptions {
    /// Where to POST the events
    #[arg(long, value_name = "URL")]
    forward: String,
    #[command(flatten)]
    pull: PullOptions,
    /// The secret that signs, a UUID like the api_secret of a webhook [default: made from the API token]
    #[arg(long, value_name = "UUID", value_parser = parse_secret)]
    secret: Option<SecretString>,
    /// Keep in FILE how far it came, and go on from there at the next start; --from counts for the first
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Give up on an event after N attempts, so that its conversation goes on [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    skip_after: Option<u32>,
}

fn parse_secret(text: &str) -> Result<SecretString, uuid::Error> {
    Uuid::try_parse(text).map(|uuid| uuid.to_string().into())
}

pub(super) async fn run(options: &ListenOptions) -> anyhow::Result<()> {
    output::start_logs(settings::log_filter()?.as_deref().unwrap_or("warn"))?;
    let mut signals = Signals::listen()?;
    let state = options.state.clone().map(StateFile::new);
    let cursor = match &state {
        Some(state) => state.read()?,
        None => None,
    };
    let puller = Puller::new(&options.pull, cursor)?;
    let secret = match &options.secret {
        Some(secret) => secret.clone(),
        None => derived_secret(puller.token()),
    };
    let forwarder = Forwarder::new(&options.forward, &secret)?;
    greet(&puller, &forwarder, &secret);
    let mut listener = Listener {
        queue: Queue::default(),
        forwarder: Arc::new(forwarder),
        skip_after: options.skip_after,
        puller: Some(Box::new(puller)),
        under_way: FuturesUnordered::new(),
        state,
        save_at: None,
        crowded: false,
    };
    let ended = tokio::select! {
        () = signals.next() => Ok(()),
        ended = listener.run() => ended,
    };
    // What is in flight is dropped, and comes again at the next start.
    listener.save()?;
    ended
}

/// A secret that stays the same as long as the token does, and that only who has the token can make.
fn derived_secret(token: &SecretString) -> SecretString {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(token.expose_secret().as_bytes()) else {
        unreachable!("HMAC takes a key of any length");
    };
    let digest = mac.chain_update("tradewind listen").finalize().into_bytes();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes)
        .into_uuid()
        .to_string()
        .into()
}

fn greet(puller: &Puller, forwarder: &Forwarder, secret: &SecretString) {
    let secret = secret.expose_secret();
    output::say(&format!(
        "Forwards events of {} to {}. Ctrl-C ends it.",
        puller.server(),
        forwarder.url()
    ));
    output::say(&format!("Signed with the api_secret {secret}"));
    output::say(&format!(
        "For libraries of Standard Webhooks: whsec_{}",
        STANDARD.encode(secret)
    ));
}

/// Something that was waited for has ended.
enum Ended {
    Pull(Box<Puller>, anyhow::Result<Pulled>),
    Attempt(Box<Attempt>),
}

struct Listener {
    queue: Queue,
    forwarder: Arc<Forwarder>,
    skip_after: Option<u32>,
    /// `None` while a pull is under way.
    puller: Option<Box<Puller>>,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
    state: Option<StateFile>,
    /// When the state is written next, if it changed.
    save_at: Option<Instant>,
    /// So much waits that nothing is pulled, which was said.
    crowded: bool,
}

impl Listener {
    /// Runs until the server refuses to go on, or the state cannot be kept.
    async fn run(&mut self) -> anyhow::Result<()> {
        loop {
            self.start_pull();
            while let Some((event, number)) = self.queue.start(Instant::now()) {
                let forwarder = Arc::clone(&self.forwarder);
                self.under_way.push(Box::pin(async move {
                    Ended::Attempt(Box::new(forwarder.attempt(event, number).await))
                }));
            }
            if self.save_at.is_some_and(|at| at <= Instant::now()) {
                self.save()?;
            }
            let wake = [self.queue.next_due(), self.save_at];
            tokio::select! {
                Some(ended) = self.under_way.next() => self.take(ended)?,
                () = sleep_until(wake.into_iter().flatten().min()) => {}
            }
        }
    }

    fn start_pull(&mut self) {
        if !self.queue.has_room() {
            if !self.crowded {
                output::error(&format!(
                    "tradewind: {} events wait to be accepted; nothing more is pulled until some are",
                    self.queue.len()
                ));
            }
            self.crowded = true;
            return;
        }
        self.crowded = false;
        if let Some(mut puller) = self.puller.take() {
            self.under_way.push(Box::pin(async move {
                let pulled = puller.next().await;
                Ended::Pull(puller, pulled)
            }));
        }
    }

    fn take(&mut self, ended: Ended) -> anyhow::Result<()> {
        match ended {
            Ended::Pull(puller, pulled) => {
                self.puller = Some(puller);
                let Pulled { events, cursor } = pulled?;
                self.queue.extend(events, cursor);
            }
            Ended::Attempt(attempt) => self.take_attempt(&attempt),
        }
        if let Some(state) = &self.state
            && state.written() != self.queue.cursor()
        {
            // The first at once: what comes from now on must not be lost to a crash.
            let gather = match state.written() {
                None => Duration::ZERO,
                Some(_) => SAVE_EVERY,
            };
            self.save_at.get_or_insert_with(|| Instant::now() + gather);
        }
        Ok(())
    }

    fn take_attempt(&mut self, attempt: &Attempt) {
        let conversation = attempt.event.conversation_id;
        if attempt.is_accepted() {
            self.queue.accepted(conversation);
            output::say(&attempt.line());
            return;
        }
        let next = self
            .queue
            .failed(conversation, Instant::now(), self.skip_after);
        let (number, reason) = (attempt.number, attempt.reason());
        let then = match next {
            Next::Again(wait) => format!("again in {} s", wait.as_secs()),
            Next::GivenUp => "SKIPPED".to_owned(),
        };
        output::say(&format!(
            "{}  attempt {number}: {reason}; {then}",
            attempt.line()
        ));
        if next == Next::GivenUp {
            output::error(&format!(
                "tradewind: SKIPPED event {} of conversation {conversation} after {number} attempts: {reason}",
                attempt.event.id
            ));
        }
    }

    fn save(&mut self) -> anyhow::Result<()> {
        self.save_at = None;
        if let (Some(state), Some(cursor)) = (&mut self.state, self.queue.cursor()) {
            state.write(cursor)?;
        }
        Ok(())
    }
}

/// Waits until `at`; for ever if there is no such time.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
