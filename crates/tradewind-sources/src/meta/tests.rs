use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tradewind_model::{
    Attachment, AttachmentKind, Channel, Content, ConversationId, DeliveryState, Message,
    MessageId, Sender, SenderType, Source, SystemClock, Timestamp,
};
use tradewind_stand_in::{Call, Reply, Script, StandIn, graph};
use uuid::Uuid;

use super::{facebook, instagram, whatsapp_source};
use crate::{
    Account, AskError, Client, Inbound, MediaKey, Posted, Profile, Provider, SendError, Sources,
    Tools, Wish,
    config::{ApiUrl, MetaConfig},
};

const SHOP: &str = "17841400000000101";

/// The stand-in, and the sources that take it for Meta.
struct Meta {
    stand_in: StandIn,
    sources: Sources,
}

impl Meta {
    async fn start() -> Self {
        Self::with(MetaConfig::default()).await
    }

    async fn with_app() -> Self {
        Self::with(MetaConfig {
            app_id: Some("1234567890".to_owned()),
            app_secret: Some("app-secret".into()),
            ..MetaConfig::default()
        })
        .await
    }

    async fn with(config: MetaConfig) -> Self {
        let stand_in = StandIn::start().await.unwrap();
        let api_url = format!("{}/graph/v23.0", stand_in.url());
        let config = MetaConfig {
            api_url: ApiUrl::try_from(api_url).unwrap(),
            ..config
        };
        let tools = Tools {
            client: Client::new().unwrap(),
            clock: Arc::new(SystemClock),
            public_url: None,
            hook_key: [0; 32],
        };
        let mut sources = Sources {
            providers: Vec::new(),
            inlets: Vec::new(),
        };
        super::add(&mut sources, &config, &tools);
        Self { stand_in, sources }
    }

    fn provider(&self, source: &Source) -> &dyn Provider {
        let mut providers = self.sources.providers.iter();
        &**providers
            .find(|provider| provider.source() == *source)
            .unwrap()
    }

    fn calls(&self) -> Vec<String> {
        let calls = self.stand_in.calls();
        let path = |call: &Call| call.path.trim_start_matches("/graph/v23.0").to_owned();
        calls
            .iter()
            .map(|call| format!("{} {}", call.method, path(call)))
            .collect()
    }

    /// Takes the next message, and answers the one after it so.
    fn take_one_and_then(&self, reply: Reply) {
        let script = |reply| Script {
            path: "/me/messages".to_owned(),
            times: 1,
            delay: Duration::ZERO,
            reply,
        };
        self.stand_in.script(script(None));
        self.stand_in.script(script(Some(reply)));
    }

    /// What a signed post says.
    fn posted(&self, body: &str) -> Vec<Inbound> {
        let signature = graph::signature("app-secret", body.as_bytes());
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-hub-signature-256"),
            HeaderValue::from_str(&signature).unwrap(),
        )]);
        let posted = Posted {
            url: "https://example.com/facebook",
            below: "",
            headers: &headers,
            body: body.as_bytes(),
            now: Timestamp::UNIX_EPOCH,
            media: &MediaKey::new([1; 32]).links("https://example.com"),
        };
        self.sources.inlets[0].receive(&posted).unwrap()
    }

    fn bodies(&self) -> Vec<Value> {
        self.stand_in
            .calls_to("/messages")
            .iter()
            .map(Call::json)
            .collect()
    }
}

fn wish(id: &str, token: &str) -> Wish {
    Wish {
        source_channel_id: Some(id.to_owned()),
        name: None,
        image_url: None,
        token: Some(token.into()),
    }
}

fn account(source: &Source, id: &str) -> Account {
    Account {
        channel: Channel {
            id: Channel::id_of(source, id),
            source: source.clone(),
            source_channel_id: id.to_owned(),
            name: None,
            image_url: None,
            token: None,
            connected: true,
        },
        token: Some("page-token-101".into()),
    }
}

fn message(source: &Source, content: Content) -> Message {
    Message {
        id: MessageId::from_uuid(Uuid::from_u128(7)),
        conversation_id: ConversationId::from_uuid(Uuid::from_u128(8)),
        channel_id: Channel::id_of(source, "101"),
        source: source.clone(),
        contact_source_id: "16505551234".to_owned(),
        position: 2,
        sender: Sender {
            id: "token".to_owned(),
            kind: SenderType::AppUser,
        },
        content,
        state: DeliveryState::Pending,
        receipt: None,
        failure_reason: None,
        sent_at: Timestamp::UNIX_EPOCH,
    }
}

fn with_files(text: &str, files: &[(AttachmentKind, &str)]) -> Content {
    let attachments = files.iter().map(|(kind, url)| Attachment {
        kind: *kind,
        url: (*url).to_owned(),
        name: Some("a name".to_owned()),
        mime_type: None,
    });
    Content {
        text: text.to_owned(),
        attachments: attachments.collect(),
        postback: None,
    }
}

#[tokio::test]
async fn a_page_is_connected_with_its_own_token() {
    let meta = Meta::with_app().await;
    let connected = meta
        .provider(&facebook())
        .connect(wish("101", "user"))
        .await
        .unwrap();
    assert_eq!(connected.source_channel_id, "101");
    assert_eq!(connected.name.as_deref(), Some("Flower shop"));
    assert_eq!(
        connected.image_url.as_deref(),
        Some("https://scontent.example/101.jpg")
    );
    assert_eq!(connected.token.unwrap().expose_secret(), "page-token-101");
    assert_eq!(meta.calls(), ["GET /oauth/access_token", "GET /101"]);
    // Once its channel is stored.
    let account = account(&facebook(), "101");
    let subscribed = meta.provider(&facebook()).subscribe(&account).await;
    subscribed.unwrap();
    assert_eq!(meta.calls().last().unwrap(), "POST /101/subscribed_apps");
    let calls = meta.stand_in.calls();
    assert_eq!(calls[0].parameter("grant_type"), Some("fb_exchange_token"));
    assert_eq!(calls[0].parameter("client_id"), Some("1234567890"));
    assert_eq!(calls[0].parameter("client_secret"), Some("app-secret"));
    assert_eq!(calls[0].parameter("fb_exchange_token"), Some("user"));
    assert_eq!(calls[1].header("authorization"), Some("Bearer long-user"));
    assert_eq!(
        calls[2].header("authorization"),
        Some("Bearer page-token-101")
    );
    let fields = calls[2].parameter("subscribed_fields").unwrap();
    for field in [
        "messages",
        "messaging_postbacks",
        "message_reads",
        "message_echoes",
        "standby",
    ] {
        assert!(fields.split(',').any(|known| known == field), "{fields}");
    }
}

#[tokio::test]
async fn a_page_token_is_used_as_it_is() {
    for meta in [Meta::with_app().await, Meta::start().await] {
        let wish = Wish {
            name: Some("My page".to_owned()),
            ..wish("101", "page-token-101")
        };
        let connected = meta.provider(&facebook()).connect(wish).await.unwrap();
        assert_eq!(connected.name.as_deref(), Some("My page"));
        assert_eq!(connected.token.unwrap().expose_secret(), "page-token-101");
    }
}

#[tokio::test]
async fn what_cannot_be_connected_is_refused_with_a_reason() {
    let meta = Meta::with_app().await;
    for source in [facebook(), instagram(), whatsapp_source()] {
        let provider = meta.provider(&source);
        let error = provider
            .connect(wish("101/../../x", "user"))
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                AskError::Invalid {
                    field: "source_channel_id",
                    ..
                }
            ),
            "{error:?}"
        );
        let without_id = Wish {
            source_channel_id: None,
            ..wish("", "user")
        };
        let error = provider.connect(without_id).await.unwrap_err();
        assert!(
            matches!(
                error,
                AskError::Invalid {
                    field: "source_channel_id",
                    ..
                }
            ),
            "{error:?}"
        );
        let without_token = Wish {
            token: None,
            ..wish("101", "")
        };
        let error = provider.connect(without_token).await.unwrap_err();
        assert!(
            matches!(error, AskError::Invalid { field: "token", .. }),
            "{error:?}"
        );
    }
    assert!(meta.calls().is_empty());
    for source in [facebook(), instagram(), whatsapp_source()] {
        let provider = meta.provider(&source);
        let error = provider.connect(wish("101", "expired")).await.unwrap_err();
        // The exchange is passed over: what comes after says it.
        assert!(
            matches!(error, AskError::Invalid { .. } | AskError::NotFound),
            "{error:?}"
        );
    }
    let error = meta
        .provider(&facebook())
        .connect(wish("999", "user"))
        .await
        .unwrap_err();
    assert!(matches!(error, AskError::NotFound), "{error:?}");
}

#[tokio::test]
async fn an_expired_token_is_the_callers_fault() {
    // The exchange says nothing of it: what comes after does.
    let meta = Meta::with_app().await;
    for source in [facebook(), instagram(), whatsapp_source()] {
        let error = meta
            .provider(&source)
            .connect(wish("101", "expired"))
            .await
            .unwrap_err();
        let AskError::Invalid {
            field: "token",
            why,
        } = error
        else {
            panic!("{error:?}");
        };
        assert!(why.contains("code 190, subcode 463"), "{why}");
    }
}

#[tokio::test]
async fn an_account_at_instagram_is_connected_through_its_page() {
    for token in ["user", "page-token-101"] {
        let meta = Meta::start().await;
        let connected = meta
            .provider(&instagram())
            .connect(wish(SHOP, token))
            .await
            .unwrap();
        assert_eq!(connected.source_channel_id, SHOP);
        assert_eq!(connected.name.as_deref(), Some("flower.shop"));
        let image = format!("https://scontent.example/{SHOP}.jpg");
        assert_eq!(connected.image_url, Some(image));
        assert_eq!(connected.token.unwrap().expose_secret(), "page-token-101");
        // The page whose token it is.
        let account = account(&instagram(), SHOP);
        let subscribed = meta.provider(&instagram()).subscribe(&account).await;
        subscribed.unwrap();
        assert_eq!(meta.calls().last().unwrap(), "POST /me/subscribed_apps");
        let call = meta.stand_in.calls().pop().unwrap();
        assert_eq!(call.header("authorization"), Some("Bearer page-token-101"));
    }
    let meta = Meta::start().await;
    let error = meta
        .provider(&instagram())
        .connect(wish("17841400000000999", "user"))
        .await;
    assert!(matches!(error, Err(AskError::NotFound)), "{error:?}");
}

#[tokio::test]
async fn a_number_is_connected_by_its_id() {
    let meta = Meta::with_app().await;
    let provider = meta.provider(&whatsapp_source());
    let connected = provider
        .connect(wish("106540352242922", "system-user"))
        .await
        .unwrap();
    assert_eq!(connected.source_channel_id, "106540352242922");
    assert_eq!(connected.name.as_deref(), Some("Flower shop"));
    assert_eq!(connected.token.unwrap().expose_secret(), "system-user");
    assert_eq!(meta.calls(), ["GET /106540352242922"]);
}

#[tokio::test]
async fn all_pages_are_explored_and_the_token_goes_to_the_api_only() {
    let meta = Meta::start().await;
    let token = SecretString::from("user");
    let pages = meta.provider(&facebook()).explore(&token).await.unwrap();
    let ids: Vec<_> = pages
        .iter()
        .map(|page| page.source_channel_id.as_str())
        .collect();
    // The second answer's address leads elsewhere; only its query is used.
    assert_eq!(ids, ["101", "102", "103"]);
    assert_eq!(pages[2].name.as_deref(), Some("Book shop"));
    let calls = meta.stand_in.calls_to("/me/accounts");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].parameter("after"), Some("MTAy"));
    assert_eq!(calls[1].parameter("access_token"), None);
    let accounts = meta.provider(&instagram()).explore(&token).await.unwrap();
    let ids: Vec<_> = accounts
        .iter()
        .map(|account| account.source_channel_id.as_str())
        .collect();
    assert_eq!(ids, [SHOP, "17841400000000102"]);
    assert!(
        meta.provider(&whatsapp_source())
            .explore(&token)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_list_without_end_is_given_up() {
    let meta = Meta::start().await;
    let endless =
        json!({"data": [{"id": "1"}], "paging": {"next": "https://graph.invalid/?after=x"}});
    meta.stand_in
        .refuse("/me/accounts", 100, Reply::ok(&endless));
    let pages = meta
        .provider(&facebook())
        .explore(&"user".into())
        .await
        .unwrap();
    assert_eq!(pages.len(), 20);
}

#[tokio::test]
async fn a_page_that_is_disconnected_posts_no_more() {
    let meta = Meta::start().await;
    for source in [facebook(), instagram(), whatsapp_source()] {
        meta.provider(&source)
            .disconnect(&account(&source, "101"))
            .await
            .unwrap();
    }
    assert_eq!(meta.calls(), ["DELETE /101/subscribed_apps"]);
}

#[tokio::test]
async fn a_text_is_sent_as_metas_documents_say() {
    let meta = Meta::start().await;
    let source = facebook();
    let text = message(&source, Content::text("hello"));
    let sent = meta
        .provider(&source)
        .send(&account(&source, "101"), &text)
        .await
        .unwrap();
    assert_eq!(sent.source_message_id.as_deref(), Some("m_sent1"));
    let calls = meta.stand_in.calls();
    assert_eq!(calls[0].path, "/graph/v23.0/me/messages");
    assert_eq!(
        calls[0].header("authorization"),
        Some("Bearer page-token-101")
    );
    assert!(calls[0].query.is_empty());
    let expected = json!({
        "recipient": {"id": "16505551234"},
        "messaging_type": "RESPONSE",
        "message": {"text": "hello", "metadata": format!("tradewind:{}", text.id)},
    });
    assert_eq!(calls[0].json(), expected);
}

#[tokio::test]
async fn an_echo_without_an_author_is_known_by_what_was_sent() {
    let meta = Meta::with_app().await;
    let source = instagram();
    let text = message(&source, Content::text("hello"));
    let sent = meta
        .provider(&source)
        .send(&account(&source, SHOP), &text)
        .await
        .unwrap();
    let mid = sent.source_message_id.unwrap();
    let echo = |mid: &str| {
        let message = json!({"mid": mid, "text": "hello", "is_echo": true});
        let mut post = graph::instagram_message(SHOP, SHOP, &message, 1_569_262_485_349);
        post["entry"][0]["messaging"][0]["recipient"]["id"] = "16505551234".into();
        post.to_string()
    };
    assert_eq!(meta.posted(&echo(&mid)), [Inbound::Skipped("own_echo")]);
    assert!(matches!(
        meta.posted(&echo("by hand"))[..],
        [Inbound::Message(_)]
    ));
}

#[tokio::test]
async fn each_attachment_goes_by_itself_after_the_text() {
    use AttachmentKind::{File, Image};
    let meta = Meta::start().await;
    let source = instagram();
    let files = [
        (Image, "https://example.com/a.png"),
        (File, "https://example.com/b.pdf"),
    ];
    let sent = message(&source, with_files("look", &files));
    let sent = meta
        .provider(&source)
        .send(&account(&source, SHOP), &sent)
        .await
        .unwrap();
    assert_eq!(sent.source_message_id.as_deref(), Some("m_sent3"));
    let messages: Vec<_> = meta
        .bodies()
        .into_iter()
        .map(|mut body| body["message"].take())
        .collect();
    let file = |kind: &str, url: &str| json!({"attachment": {"type": kind, "payload": {"url": url, "is_reusable": false}}});
    assert_eq!(
        messages,
        [
            json!({"text": "look"}),
            file("image", "https://example.com/a.png"),
            file("file", "https://example.com/b.pdf"),
        ]
    );
}

#[tokio::test]
async fn what_was_taken_is_not_sent_again() {
    let meta = Meta::start().await;
    let source = facebook();
    let (provider, account) = (meta.provider(&source), account(&source, "101"));
    let files = [(AttachmentKind::Image, "https://example.com/a.png")];
    let sent = message(&source, with_files("look", &files));
    let busy = "(#2) Service temporarily unavailable";
    let busy = graph::refusal(StatusCode::INTERNAL_SERVER_ERROR, 2, None, busy);
    meta.take_one_and_then(busy);
    let error = provider.send(&account, &sent).await.unwrap_err();
    assert!(matches!(error, SendError::Retry(_)), "{error:?}");
    provider.send(&account, &sent).await.unwrap();
    let texts = meta.bodies();
    let texts = texts.iter().map(|body| body["message"]["text"].is_string());
    assert_eq!(texts.collect::<Vec<_>>(), [true, false, false]);
    // What was sent whole is forgotten: the next time, all of it goes.
    provider.send(&account, &sent).await.unwrap();
    assert_eq!(meta.bodies().len(), 5);
}

#[tokio::test]
async fn a_refusal_after_a_part_says_so() {
    let meta = Meta::start().await;
    let source = facebook();
    let no = graph::refusal(
        StatusCode::BAD_REQUEST,
        100,
        Some(2_018_047),
        "(#100) Upload attachment failure.",
    );
    meta.take_one_and_then(no);
    let files = [(AttachmentKind::Video, "https://example.com/a.mp4")];
    let sent = message(&source, with_files("look", &files));
    let error = meta
        .provider(&source)
        .send(&account(&source, "101"), &sent)
        .await
        .unwrap_err();
    let SendError::Final { reason } = error else {
        panic!("{error:?}");
    };
    assert!(
        reason.starts_with("1 of its 2 parts were sent, but then: (#100) Upload"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_refusal_is_final_passing_or_about_the_token() {
    let meta = Meta::start().await;
    let source = facebook();
    let (provider, account) = (meta.provider(&source), account(&source, "101"));
    let text = message(&source, Content::text("hello"));
    let send = async |reply: Reply| {
        meta.stand_in.refuse("/me/messages", 1, reply);
        provider.send(&account, &text).await.unwrap_err()
    };
    let bad = StatusCode::BAD_REQUEST;
    let window = "(#10) This message is sent outside of allowed window.";
    let error = send(graph::refusal(bad, 10, Some(2_018_278), window)).await;
    let SendError::Final { reason } = error else {
        panic!("{error:?}");
    };
    assert!(
        reason.contains(window) && reason.contains("code 10, subcode 2018278"),
        "{reason}"
    );
    let error = send(graph::refusal(
        bad,
        190,
        Some(460),
        "Malformed access token page-token-101",
    ))
    .await;
    let SendError::TokenRefused { reason } = error else {
        panic!("{error:?}");
    };
    assert!(!reason.contains("page-token-101"), "{reason}");
    let limit = graph::refusal(
        bad,
        613,
        None,
        "(#613) Calls to this api have exceeded the rate limit.",
    );
    let error = send(limit.with("retry-after", "30")).await;
    let SendError::Retry(failure) = error else {
        panic!("{error:?}");
    };
    assert_eq!(failure.status, Some(429));
    assert_eq!(failure.retry_after, Some(Duration::from_secs(30)));
    let error = send(Reply::status(StatusCode::BAD_GATEWAY)).await;
    assert!(matches!(error, SendError::Retry(_)), "{error:?}");
    // A success that says nothing is one.
    meta.stand_in
        .refuse("/me/messages", 1, Reply::status(StatusCode::OK));
    let sent = provider.send(&account, &text).await.unwrap();
    assert_eq!(sent.source_message_id, None);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let meta = Meta::start().await;
    for source in [facebook(), whatsapp_source()] {
        let account = Account {
            token: None,
            ..account(&source, "101")
        };
        let text = message(&source, Content::text("hello"));
        let error = meta
            .provider(&source)
            .send(&account, &text)
            .await
            .unwrap_err();
        assert!(matches!(error, SendError::TokenRefused { .. }), "{error:?}");
    }
    assert!(meta.calls().is_empty());
}

#[tokio::test]
async fn whatsapp_is_sent_with_captions_and_our_id() {
    use AttachmentKind::{Audio, File, Image, Location, Sticker, Video};
    let meta = Meta::start().await;
    let source = whatsapp_source();
    let (provider, account) = (meta.provider(&source), account(&source, "106540352242922"));
    let url = "https://example.com/a";
    let long = "ä".repeat(1025);
    for content in [
        Content::text("hello"),
        with_files("look", &[(Image, url), (Video, url)]),
        with_files("hear", &[(Audio, url)]),
        with_files("", &[(File, url)]),
        with_files("", &[(Sticker, url)]),
        with_files("", &[(Location, "geo:52.52,13.4;u=35")]),
        with_files(&long, &[(Image, url)]),
    ] {
        let sent = provider
            .send(&account, &message(&source, content))
            .await
            .unwrap();
        assert!(sent.source_message_id.unwrap().starts_with("wamid.sent"));
    }
    let mut bodies = meta.bodies();
    // Of several parts only the last has it: a receipt of any other says nothing of the whole.
    let ours = "tradewind:00000000-0000-0000-0000-000000000007";
    let with_it = [0, 2, 4, 5, 6, 7, 9];
    for (number, body) in bodies.iter().enumerate() {
        let expected = with_it.contains(&number).then_some(ours);
        assert_eq!(
            body["biz_opaque_callback_data"].as_str(),
            expected,
            "{number}"
        );
    }
    let said = bodies.iter_mut().map(|body| {
        assert_eq!(body["messaging_product"], "whatsapp");
        assert_eq!(body["recipient_type"], "individual");
        assert_eq!(body["to"], "16505551234");
        let kind = body["type"].as_str().unwrap().to_owned();
        (kind.clone(), body[kind].take())
    });
    let expected = [
        ("text", json!({"body": "hello"})),
        ("image", json!({"link": url, "caption": "look"})),
        ("video", json!({"link": url})),
        ("text", json!({"body": "hear"})),
        ("audio", json!({"link": url})),
        ("document", json!({"link": url, "filename": "a name"})),
        ("sticker", json!({"link": url})),
        (
            "location",
            json!({"latitude": 52.52, "longitude": 13.4, "name": "a name"}),
        ),
        ("text", json!({"body": long})),
        ("image", json!({"link": url})),
    ];
    let expected = expected.map(|(kind, body)| (kind.to_owned(), body));
    assert_eq!(said.collect::<Vec<_>>(), expected);
    assert_eq!(meta.calls()[0], "POST /106540352242922/messages");
}

#[tokio::test]
async fn who_has_no_number_is_written_to_by_another_id() {
    let meta = Meta::start().await;
    let source = whatsapp_source();
    let text = Message {
        contact_source_id: "US.13491208655302741918".to_owned(),
        ..message(&source, Content::text("hello"))
    };
    meta.provider(&source)
        .send(&account(&source, "1"), &text)
        .await
        .unwrap();
    let body = &meta.bodies()[0];
    assert_eq!(body["recipient"], "US.13491208655302741918");
    assert_eq!(body["to"], Value::Null);
}

#[tokio::test]
async fn contacts_are_known_by_name() {
    let meta = Meta::start().await;
    let profile = async |source: Source, contact: &str| {
        let account = account(&source, "101");
        meta.provider(&source)
            .profile(&account, contact)
            .await
            .unwrap()
    };
    let named = |first: &str, last: &str, avatar: Option<&str>| Profile {
        first_name: Some(first.to_owned()),
        last_name: Some(last.to_owned()),
        avatar_url: avatar.map(str::to_owned),
    };
    let ada = named("Ada", "Lovelace", Some("https://scontent.example/42.jpg"));
    assert_eq!(profile(facebook(), "42").await, Some(ada));
    // A profile that is not shown leaves the name in the conversation.
    assert_eq!(
        profile(facebook(), "hidden1").await,
        Some(named("Ada", "King", None))
    );
    assert_eq!(meta.calls().last().unwrap(), "GET /101/conversations");
    let grace = named("Grace", "Hopper", Some("https://scontent.example/43.jpg"));
    assert_eq!(profile(instagram(), "43").await, Some(grace));
    assert_eq!(profile(instagram(), "nobody1").await, None);
    assert_eq!(profile(facebook(), "../me").await, None);
    for (source, has) in [
        (facebook(), true),
        (instagram(), true),
        (whatsapp_source(), false),
    ] {
        assert_eq!(meta.provider(&source).has_profiles(), has);
    }
}

#[tokio::test]
async fn a_profile_that_cannot_be_asked_for_now_is_asked_for_again() {
    let meta = Meta::start().await;
    let account = account(&facebook(), "101");
    meta.stand_in
        .refuse("/42", 1, Reply::status(StatusCode::SERVICE_UNAVAILABLE));
    let error = meta
        .provider(&facebook())
        .profile(&account, "42")
        .await
        .unwrap_err();
    assert!(matches!(error, AskError::Unavailable(_)), "{error:?}");
}

#[tokio::test]
async fn a_file_is_fetched_with_the_channels_token() {
    let meta = Meta::start().await;
    let source = whatsapp_source();
    let (provider, account) = (meta.provider(&source), account(&source, "106540352242922"));
    let response = provider.media(&account, "1003383421387256").await.unwrap();
    assert_eq!(response.headers()["content-type"], "image/png");
    assert!(response.bytes().await.unwrap().starts_with(b"\x89PNG"));
    let calls = meta.stand_in.calls();
    assert_eq!(
        calls[0].parameter("phone_number_id"),
        Some("106540352242922")
    );
    assert!(
        calls
            .iter()
            .all(|call| call.header("authorization") == Some("Bearer page-token-101"))
    );
    for reference in ["nobody1", "../me", ""] {
        let error = provider.media(&account, reference).await.unwrap_err();
        assert!(
            matches!(error, AskError::NotFound),
            "{reference}: {error:?}"
        );
    }
    meta.stand_in
        .refuse("/files/", 1, Reply::status(StatusCode::NOT_FOUND));
    let error = provider.media(&account, "1").await.unwrap_err();
    assert!(matches!(error, AskError::NotFound), "{error:?}");
}

#[tokio::test]
async fn each_source_says_what_it_takes() {
    use AttachmentKind::{Audio, File, Image, Link, Location, Sticker, Video};
    let meta = Meta::start().await;
    for (source, takes) in [
        (facebook(), vec![Image, Video, Audio, File]),
        (instagram(), vec![Image, Video, Audio]),
        (
            whatsapp_source(),
            vec![Image, Video, Audio, File, Sticker, Location],
        ),
    ] {
        let provider = meta.provider(&source);
        for kind in [Image, Video, Audio, File, Sticker, Location, Link] {
            assert_eq!(
                provider.takes(kind),
                takes.contains(&kind),
                "{source} {kind:?}"
            );
        }
        let pace = provider.pace().unwrap();
        let in_a_second = 1000 / pace.every.as_millis() + u128::from(pace.burst);
        assert!(in_a_second <= 80, "{source}: {in_a_second}");
    }
}
