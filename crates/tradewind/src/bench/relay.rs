//! The floor: a relay that does for a message what every webhook server has to do, and keeps nothing.
//!
//! It has the server's own HTTP stack and layers, reads the same request, and makes the same signed
//! request of the same event by the same transport. It answers when the receiver has. What Tradewind
//! costs more than this is what storing and delivering cost.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::{
    Json as Answer, Router,
    extract::{Request, State},
    routing::post,
};
use tokio::net::TcpListener;
use tower_http::cors::CorsLayer;
use tradewind_delivery::{
    event::EventBody,
    guard::Guard,
    sign::{self, Key},
    transport::{Endpoint, Transport, TransportLimits},
    webhook,
};
use tradewind_model::{
    Channel, Clock as _, Conversation, DeliveryState, Message, MessageId, OsRandom, Random as _,
    Sender, SenderType, SystemClock,
};
use tradewind_sources::chat_plugin;

use super::part::{self, Orders, Said};
use crate::{
    api::{chat_plugin::SendRequest, error::ApiError, extract::Json, view::MessageView},
    cli::output,
    lifecycle::Tasks,
    listener,
    routes::Routes,
    settings::Settings,
};

#[derive(Clone)]
struct Relay(Arc<Parts>);

struct Parts {
    transport: Transport,
    target: Endpoint,
    headers: axum::http::HeaderMap,
    key: Key,
    random: OsRandom,
    settings: Settings,
}

/// Runs until there are no orders any more.
pub(super) async fn run(target: SocketAddr, mut orders: Orders) -> anyhow::Result<()> {
    output::start_logs("warn")?;
    let settings = Settings::default();
    let guard = Guard::new(&["127.0.0.0/8".parse()?]);
    let limits = TransportLimits::default();
    let random = OsRandom::default();
    let relay = Relay(Arc::new(Parts {
        transport: Transport::new(guard, limits).context("no HTTP client")?,
        target: Endpoint::new(format!("http://{target}/").parse()?),
        headers: webhook::common_headers(),
        key: Key::new(
            &uuid::Builder::from_random_bytes(random.bits().to_be_bytes())
                .into_uuid()
                .to_string(),
        ),
        random,
        settings: settings.clone(),
    }));
    let request_max = Duration::from_secs(settings.server.request_seconds);
    let router = Router::new()
        .route("/chatplugin.send", post(send))
        .layer(CorsLayer::very_permissive());
    let routes = Routes::new(router, relay, request_max);
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    part::say(&Said::Listens(listener.local_addr()?))?;
    let tasks = Tasks::default();
    let accept = listener::accept(
        listener,
        routes,
        settings.server.connections_max,
        tasks.clone(),
    );
    tasks.spawn_service("connections", accept);
    while orders.recv().await.is_some() {}
    Ok(())
}

async fn send(
    State(relay): State<Relay>,
    request: Request,
) -> Result<Answer<MessageView>, ApiError> {
    let relay = &*relay.0;
    let server = &relay.settings.server;
    let Json(request) = Json::<SendRequest>::read(request, server.body_bytes_max).await?;
    let content = request.message.into_content(server.text_bytes_max)?;
    let channel_id = Channel::id_of(&chat_plugin::source(), "bench");
    // Who writes does not matter here, and would be in the token.
    let contact = channel_id.to_string();
    let message = Message {
        id: MessageId::fresh(&SystemClock, &relay.random),
        conversation_id: Conversation::id_of(channel_id, &contact),
        channel_id,
        source: chat_plugin::source(),
        contact_source_id: contact.clone(),
        position: 1,
        sender: Sender {
            id: contact,
            kind: SenderType::SourceContact,
        },
        content,
        state: DeliveryState::Delivered,
        receipt: None,
        failure_reason: None,
        sent_at: SystemClock.now(),
    };
    post_event(relay, &message).await.map_err(|why| {
        tracing::error!(why, "an event was not taken");
        ApiError::Panicked
    })?;
    Ok(Answer(MessageView::new(&message)))
}

async fn post_event(relay: &Parts, message: &Message) -> Result<(), String> {
    let body = serde_json::to_vec(&EventBody::new(message)).map_err(|error| error.to_string())?;
    let now = SystemClock.now();
    let id = message.id.to_string();
    let mut headers = relay.headers.clone();
    sign::add_headers(&mut headers, &[&relay.key], &id, now.as_second(), &body)
        .map_err(|error| error.to_string())?;
    let exchange = relay
        .transport
        .post(&relay.target, headers, body.into(), now);
    match exchange.await.result {
        Ok(reply) if reply.status.is_success() => Ok(()),
        other => Err(format!("{other:?}")),
    }
}
