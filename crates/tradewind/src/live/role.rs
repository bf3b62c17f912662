//! Who is at the other end of a socket: all that differs between visitors and agents.

use std::time::Duration;

use tokio::time::Instant;
use tradewind_model::{Conversation, ConversationId, Token};
use tradewind_sources::chat_plugin::Purpose;
use tradewind_store::TokenHash;

use super::{
    connection::End,
    hub::{Hub, Listening},
    update::{Topic, Topics},
};
use crate::{
    api::{auth, error::ApiError},
    app::App,
    token,
};

/// How often an agent's token is looked at again. One that was revoked may hear for that long, and for
/// as long as one frame takes.
const CHECK_EVERY: Duration = Duration::from_secs(15);

type Destination = (&'static str, Topic);
const OF_VISITORS: [Destination; 1] = [("/user/queue/message", Topic::Message)];
const OF_AGENTS: [Destination; 5] = [
    ("/queue/message", Topic::Message),
    ("/queue/unread-count", Topic::UnreadCount),
    ("/queue/channel/connected", Topic::ChannelConnected),
    ("/queue/channel/disconnected", Topic::ChannelDisconnected),
    ("/events", Topic::Events),
];

/// Where a socket was opened.
pub(super) enum Door {
    Visitors,
    /// With the token that the HTTP request brought: it counts if the `CONNECT` brings none.
    Agents(Option<TokenHash>),
}

pub(super) enum Role {
    /// Hears its own conversation.
    Visitor(ConversationId),
    /// Hears everything.
    Agent(Agent),
}

/// An agent's token, and when it is to be looked at again.
pub(super) struct Agent {
    token: TokenHash,
    check_at: Instant,
}

impl Door {
    /// Lets in who brings a good token in the header `Authorization` of its `CONNECT`.
    pub(super) async fn admit(&self, app: &App, header: Option<&str>) -> Result<Role, End> {
        let presented = header.map(auth::strip_bearer);
        match self {
            Self::Visitors => {
                let token = presented.unwrap_or_default();
                let session = app
                    .session_tokens
                    .verify(token, Purpose::Visit, app.clock.now())
                    .map_err(|error| End::Error(format!("401 Unauthorized: {error}")))?;
                let id = Conversation::id_of(session.channel_id, &session.id.to_string());
                Ok(Role::Visitor(id))
            }
            Self::Agents(requested) => {
                let token = presented.map(token::hash).or(*requested);
                let token = token.ok_or_else(|| refusal(&ApiError::Unauthorized))?;
                let found = auth::get_token(app, token).await;
                let check_at = check_at(app, &found.map_err(|error| refusal(&error))?);
                Ok(Role::Agent(Agent { token, check_at }))
            }
        }
    }
}

impl Role {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Visitor(_) => "visitor",
            Self::Agent(_) => "agent",
        }
    }

    pub(super) fn is_agent(&self) -> bool {
        matches!(self, Self::Agent(_))
    }

    /// What a client is told that would write here.
    pub(super) fn writes_elsewhere(&self) -> &'static str {
        match self {
            Self::Visitor(_) => "write by POST /chatplugin.send",
            Self::Agent(_) => "write by POST /messages.send",
        }
    }

    pub(super) fn find_topic(&self, destination: &str) -> Result<Topic, End> {
        let known = self.destinations();
        if let Some((_, topic)) = known.iter().find(|(name, _)| *name == destination) {
            return Ok(*topic);
        }
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        Err(End::Error(match names.as_slice() {
            [only] => format!("there is only the destination {only}"),
            all => format!("there are only the destinations {}", all.join(", ")),
        }))
    }

    /// By which name a topic is subscribed to.
    pub(super) fn destination(&self, topic: Topic) -> &'static str {
        let mut known = self.destinations().iter();
        known
            .find(|(_, other)| *other == topic)
            .map_or("", |(name, _)| *name)
    }

    /// Hears of these topics from now on; of none, not at all.
    pub(super) fn listen(&self, hub: &Hub, topics: Topics, listening: &mut Option<Listening>) {
        match (self, listening.as_ref()) {
            _ if topics.is_empty() => *listening = None,
            (Self::Visitor(_), Some(_)) => {}
            (Self::Visitor(conversation), None) => *listening = Some(hub.listen_to(*conversation)),
            (Self::Agent(_), Some(listening)) => listening.choose(topics),
            (Self::Agent(_), None) => *listening = Some(hub.listen(topics)),
        }
    }

    /// When [`Self::check_again`] is due, if ever. A visitor's token is signed, and cannot be revoked.
    pub(super) fn check_at(&self) -> Option<Instant> {
        match self {
            Self::Visitor(_) => None,
            Self::Agent(agent) => Some(agent.check_at),
        }
    }

    /// Whether the token is still good. While the store is away it is taken to be: nothing happens then
    /// that could be heard.
    pub(super) async fn check_again(&mut self, app: &App) -> Result<(), End> {
        let Self::Agent(agent) = self else {
            return Ok(());
        };
        agent.check_at = match auth::get_token(app, agent.token).await {
            Ok(token) => check_at(app, &token),
            Err(error) if is_refused(&error) => return Err(refusal(&error)),
            Err(_) => Instant::now() + CHECK_EVERY,
        };
        Ok(())
    }

    fn destinations(&self) -> &'static [Destination] {
        match self {
            Self::Visitor(_) => &OF_VISITORS,
            Self::Agent(_) => &OF_AGENTS,
        }
    }
}

/// When a token that is good now is to be looked at again: at the latest when it expires.
fn check_at(app: &App, token: &Token) -> Instant {
    let left = token
        .expires_at
        .map(|at| Duration::try_from(at.duration_since(app.clock.now())).unwrap_or_default());
    Instant::now() + left.map_or(CHECK_EVERY, |left| left.min(CHECK_EVERY))
}

fn is_refused(error: &ApiError) -> bool {
    matches!(error, ApiError::Unauthorized)
}

fn refusal(error: &ApiError) -> End {
    if is_refused(error) {
        return End::Error(format!("401 Unauthorized: {error}"));
    }
    tracing::debug!(%error, "an agent's token could not be looked up");
    End::error("503 Service Unavailable: the token cannot be checked now, connect again later")
}
