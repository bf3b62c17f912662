//! Calls of Google's API.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::StatusCode;
use secrecy::SecretString;
use serde_json::{Value, json};
use tradewind_model::{
    Channel, Content, ConversationId, DeliveryState, ManualClock, Message, MessageId, Sender,
    SenderType, Timestamp,
};
use tradewind_stand_in::{Reply, StandIn, google::refusal};

use crate::{
    Account, AskError, Client, Provider as _, SendError, Sent, Tools, Wish,
    config::{ApiUrl, GoogleConfig},
    google::Google,
};

const MESSAGE: &str = "01a20a53-61bf-71b0-ac27-31e8c343a5f1";
/// An id that is no plain part of a path.
const CONVERSATION: &str = "33/33?x";

struct World {
    stand_in: StandIn,
    google: Google,
    clock: Arc<ManualClock>,
    public_key: Vec<u8>,
}

async fn world() -> World {
    let stand_in = StandIn::start().await.unwrap();
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'static> = key.as_der().unwrap();
    let encoded = STANDARD.encode(der.as_ref());
    let lines: Vec<_> = encoded
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        lines.join("\n")
    );
    let service_account = json!({
        "type": "service_account",
        "project_id": "bm-example",
        "private_key_id": "0123456789abcdef",
        "private_key": pem,
        "client_email": "bm@bm-example.iam.gserviceaccount.com",
        "client_id": "1234",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
    });
    let config = config(&stand_in.url(), Some(&service_account.to_string()));
    let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    World {
        google: Google::new(&config, &tools(clock.clone())),
        public_key: key.public_key().as_ref().to_vec(),
        stand_in,
        clock,
    }
}

fn config(stand_in: &str, service_account: Option<&str>) -> GoogleConfig {
    let url = |path: &str| ApiUrl::try_from(format!("{stand_in}/google{path}")).unwrap();
    GoogleConfig {
        partner_key: Some(SecretString::from("partner-key")),
        service_account: service_account.map(SecretString::from),
        api_url: url("/v1"),
        token_url: Some(url("/token")),
    }
}

fn tools(clock: Arc<ManualClock>) -> Tools {
    Tools {
        client: Client::new().unwrap(),
        clock,
        public_url: None,
        hook_key: [0; 32],
    }
}

async fn send(google: &Google) -> Result<Sent, SendError> {
    let source = google.source();
    let channel = Channel {
        id: Channel::id_of(&source, "2222"),
        source,
        source_channel_id: "2222".to_owned(),
        name: None,
        image_url: None,
        token: None,
        connected: true,
    };
    let message = Message {
        id: MESSAGE.parse::<MessageId>().unwrap(),
        conversation_id: ConversationId::derived(&channel.id.to_string(), CONVERSATION),
        channel_id: channel.id,
        source: channel.source.clone(),
        contact_source_id: CONVERSATION.to_owned(),
        position: 2,
        sender: Sender {
            id: "agent".to_owned(),
            kind: SenderType::AppUser,
        },
        content: Content::text("hello"),
        state: DeliveryState::Pending,
        receipt: None,
        failure_reason: None,
        sent_at: Timestamp::UNIX_EPOCH,
    };
    let account = Account {
        channel,
        token: None,
    };
    google.send(&account, &message).await
}

fn wish(id: &str) -> Wish {
    Wish {
        source_channel_id: Some(id.to_owned()),
        name: None,
        image_url: None,
        token: None,
    }
}

fn is_retry(sent: &Result<Sent, SendError>) -> bool {
    matches!(sent, Err(SendError::Retry(_)))
}

#[tokio::test]
async fn a_message_is_sent_under_our_id() {
    let world = world().await;
    let sent = send(&world.google).await.unwrap();
    assert_eq!(sent.source_message_id.as_deref(), Some(MESSAGE));
    let call = world.stand_in.calls_to("/messages").remove(0);
    assert_eq!(call.method, "POST");
    assert_eq!(call.path, "/google/v1/conversations/33%2F33%3Fx/messages");
    assert_eq!(
        call.json(),
        json!({
            "messageId": MESSAGE,
            "text": "hello",
            "representative": {"representativeType": "HUMAN"},
        })
    );
}

#[tokio::test]
async fn a_message_that_google_has_is_sent() {
    let world = world().await;
    let there = refusal(StatusCode::CONFLICT, "ALREADY_EXISTS", "It exists.");
    world.stand_in.refuse("/messages", 1, there);
    assert!(send(&world.google).await.is_ok());
}

#[tokio::test]
async fn the_service_account_asks_for_a_token_with_its_signature() {
    let world = world().await;
    send(&world.google).await.unwrap();
    let call = world.stand_in.calls_to("/google/token").remove(0);
    let assertion = call.field("assertion").unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &world.public_key)
        .verify(signed.as_bytes(), &decode(signature))
        .unwrap();
    let (head, claim) = signed.split_once('.').unwrap();
    let parse = |text| serde_json::from_slice::<Value>(&decode(text)).unwrap();
    assert_eq!(
        parse(head),
        json!({"alg": "RS256", "typ": "JWT", "kid": "0123456789abcdef"})
    );
    assert_eq!(
        parse(claim),
        json!({
            "iss": "bm@bm-example.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/businessmessages",
            "aud": "https://oauth2.googleapis.com/token",
            "iat": 0,
            "exp": 3600,
        })
    );
}

#[tokio::test]
async fn a_token_is_kept_until_a_minute_before_its_end() {
    let world = world().await;
    let tokens = || world.stand_in.calls_to("/google/token").len();
    send(&world.google).await.unwrap();
    world.clock.advance(Duration::from_secs(3538));
    send(&world.google).await.unwrap();
    assert_eq!(tokens(), 1);
    world.clock.advance(Duration::from_secs(1));
    send(&world.google).await.unwrap();
    assert_eq!(tokens(), 2);
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_replaced() {
    let world = world().await;
    let stale = refusal(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "Expired.");
    world.stand_in.refuse("/messages", 1, stale);
    assert!(is_retry(&send(&world.google).await));
    assert!(send(&world.google).await.is_ok());
    assert_eq!(world.stand_in.calls_to("/google/token").len(), 2);
}

#[tokio::test]
async fn what_is_over_after_a_while_is_tried_again_and_a_clear_no_is_final() {
    let world = world().await;
    let away = || Reply::status(StatusCode::SERVICE_UNAVAILABLE);
    world.stand_in.refuse("/google/token", 1, away());
    assert!(is_retry(&send(&world.google).await));
    world
        .stand_in
        .refuse("/google/token", 1, Reply::ok(&json!({})));
    assert!(is_retry(&send(&world.google).await));
    world.stand_in.refuse("/messages", 1, away());
    assert!(is_retry(&send(&world.google).await));
    let often = refusal(StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", "Slow.");
    world.stand_in.refuse("/messages", 1, often);
    assert!(is_retry(&send(&world.google).await));
    let gone = refusal(StatusCode::NOT_FOUND, "NOT_FOUND", "No conversation.");
    world.stand_in.refuse("/messages", 1, gone);
    let refused = send(&world.google).await.unwrap_err();
    assert!(
        matches!(&refused, SendError::Final { reason } if reason == "status 404: No conversation."),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_service_account_that_is_refused_is_told_apart() {
    let world = world().await;
    let body = json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."});
    let no = || Reply::json(StatusCode::BAD_REQUEST, &body);
    world.stand_in.refuse("/google/token", 2, no());
    let refused = send(&world.google).await.unwrap_err();
    let expected = "status 400: Invalid JWT Signature.";
    assert!(
        matches!(&refused, SendError::TokenRefused { reason } if reason == expected),
        "{refused:?}"
    );
    let refused = world.google.connect(wish("2222")).await.unwrap_err();
    assert!(
        matches!(&refused, AskError::Refused(reason) if reason == expected),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_key_that_is_none_is_named_and_not_quoted() {
    let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let secret = json!({"client_email": "a@b", "private_key": "hidden"}).to_string();
    for key in [None, Some("hidden"), Some("{}"), Some(secret.as_str())] {
        let config = config("http://127.0.0.1:9", key);
        let google = Google::new(&config, &tools(clock.clone()));
        let refused = send(&google).await.unwrap_err();
        let SendError::Final { reason } = refused else {
            panic!("{refused:?}")
        };
        assert!(reason.contains("google.service_account"), "{reason}");
        assert!(!reason.contains("hidden"), "{reason}");
    }
}

#[tokio::test]
async fn an_agent_is_connected_by_its_id() {
    let world = world().await;
    let connected = world.google.connect(wish("2222")).await.unwrap();
    assert_eq!(connected.source_channel_id, "2222");
    let away = Reply::status(StatusCode::SERVICE_UNAVAILABLE);
    world.stand_in.refuse("/google/token", 1, away);
    assert!(world.google.connect(wish("2222")).await.is_ok());
    let name = world.google.connect(wish("brands/1/agents/2222")).await;
    assert!(matches!(
        name,
        Err(AskError::Invalid {
            field: "source_channel_id",
            ..
        })
    ));
    // Without a service account it can receive.
    let mut config = config(&world.stand_in.url(), None);
    let google = Google::new(&config, &tools(world.clock.clone()));
    assert!(google.connect(wish("2222")).await.is_ok());
    config.partner_key = None;
    let google = Google::new(&config, &tools(world.clock.clone()));
    let refused = google.connect(wish("2222")).await;
    assert!(matches!(
        refused,
        Err(AskError::NotConfigured("google.partner_key"))
    ));
}
