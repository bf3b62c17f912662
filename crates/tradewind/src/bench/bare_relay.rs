//! The limit: a relay on bare hyper that looks at nothing.
//!
//! Requests, events and answers have the sizes that those of the server have; they are pasted together,
//! not parsed, rendered or signed. Each inbound connection has its own to the receiver.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Response,
    body::Incoming,
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use tokio::{net::TcpListener, sync::Mutex};
use tradewind_delivery::{sign, webhook};

use super::{
    part::{self, Orders, Said},
    wire::{self, Sender},
};
use crate::lifecycle::Tasks;

/// What an event has before its text.
const EVENT: &[u8] = br#"{"conversation_id":"00000000-0000-0000-0000-000000000000","id":"00000000-0000-0000-0000-000000000000","sender":{"id":"00000000-0000-0000-0000-000000000000","type":"source_contact"},"source":"CHAT_PLUGIN","sent_at":"2026-01-01T00:00:00.000Z","#;
/// What an answer has before and after its text.
const ANSWER: (&[u8], &[u8]) = (
    br#"{"id":"00000000-0000-0000-0000-000000000000","content":{"#,
    br#","type":"text"},"state":"delivered","delivery_state":"delivered","sender_type":"source_contact","sent_at":"2026-01-01T00:00:00.000Z"}"#,
);
/// What a request has before its text, and after.
const REQUEST: (&str, &str) = (r#"{"message":{"#, "}}");

#[derive(Clone)]
struct Relay {
    target: SocketAddr,
    headers: HeaderMap,
    tasks: Tasks,
}

/// Runs until there are no orders any more.
pub(super) async fn run(target: SocketAddr, orders: Orders) -> anyhow::Result<()> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
    part::say(&Said::Listens(listener.local_addr()?))?;
    let relay = Relay {
        target,
        headers: headers(target)?,
        tasks: Tasks::default(),
    };
    let open = || {
        let relay = relay.clone();
        let upstream = Arc::new(Mutex::new(None));
        move |request| {
            let (relay, upstream) = (relay.clone(), Arc::clone(&upstream));
            async move {
                // A connection answers one request at a time, so nobody waits for this lock.
                let mut upstream = upstream.lock().await;
                let answer = relay.pass_on(&mut upstream, request).await;
                answer.unwrap_or_else(|_| wire::failed())
            }
        }
    };
    wire::serve(listener, open, orders).await;
    Ok(())
}

/// As many bytes of headers as a delivery has.
fn headers(target: SocketAddr) -> anyhow::Result<HeaderMap> {
    let mut headers = webhook::common_headers();
    headers.insert(HOST, HeaderValue::from_str(&target.to_string())?);
    let id = "00000000-0000-0000-0000-000000000000";
    let key = sign::Key::new(id);
    sign::add_headers(&mut headers, &[&key], id, 1_800_000_000, b"")?;
    Ok(headers)
}

impl Relay {
    async fn pass_on(
        &self,
        upstream: &mut Option<Sender>,
        request: Request<Incoming>,
    ) -> anyhow::Result<Response<Full<Bytes>>> {
        let body = request.into_body().collect().await?.to_bytes();
        let text = body.slice(REQUEST.0.len()..body.len() - REQUEST.1.len());
        let mut event = Request::new(Full::new([EVENT, &text, b"}"].concat().into()));
        *event.method_mut() = Method::POST;
        event.headers_mut().clone_from(&self.headers);
        let sender = match upstream {
            Some(sender) => sender,
            None => upstream.insert(wire::connect(self.target, &self.tasks).await?),
        };
        let (status, _) = wire::ask(sender, event).await?;
        anyhow::ensure!(status.is_success(), "an event was not taken");
        let answer = [ANSWER.0, &text, ANSWER.1].concat();
        let mut response = Response::new(Full::new(answer.into()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        Ok(response)
    }
}
