use serde_json::{Value, json};
use tradewind_model::{
    AttachmentKind, Channel, Content, MessageId, SenderType, Timestamp, UNSUPPORTED_TEXT,
};
use tradewind_store::{ReceiptKind, ReceiptOf};

use super::read;
use crate::{Inbound, InboundMessage, InboundReceipt, MEDIA_PATH, MediaKey, meta::whatsapp_source};

const NUMBER: &str = "106540352242922";

fn key() -> MediaKey {
    MediaKey::new([3; 32])
}

fn posted(field: &str, value: &Value) -> Vec<Inbound> {
    let entry = json!({"id": "102290129340398", "changes": [{"value": value, "field": field}]});
    read(
        &whatsapp_source(),
        &key().links("https://example.com"),
        &[entry],
    )
}

fn about() -> Value {
    json!({"display_phone_number": "15550783881", "phone_number_id": NUMBER})
}

/// What one message says; `message` without what all have.
fn found(message: &Value) -> Inbound {
    let mut whole = json!({
        "from": "16505551234",
        "id": "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQUFERjg0NDEzNDdFODU3MUMxMAA=",
        "timestamp": "1739321024",
    });
    let parts = message.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(parts);
    let mut found = posted(
        "messages",
        &json!({
            "messaging_product": "whatsapp",
            "metadata": about(),
            "contacts": [{"profile": {"name": "Sheena Nelson"}, "wa_id": "16505551234"}],
            "messages": [whole],
        }),
    );
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn said(message: &Value) -> InboundMessage {
    match found(message) {
        Inbound::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

fn status(status: &Value) -> InboundReceipt {
    let value = json!({"messaging_product": "whatsapp", "metadata": about(), "statuses": [status]});
    let mut found = posted("messages", &value);
    match found.remove(0) {
        Inbound::Receipt(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_is_a_message_with_the_contacts_name() {
    let message =
        said(&json!({"text": {"body": "Does it come in another color?"}, "type": "text"}));
    assert_eq!(message.source.name(), "whatsapp");
    assert_eq!(message.source_channel_id, NUMBER);
    assert_eq!(message.contact, "16505551234");
    assert_eq!(message.sender.kind, SenderType::SourceContact);
    assert_eq!(
        message.content,
        Content::text("Does it come in another color?")
    );
    assert_eq!(
        message.sent_at,
        Some(Timestamp::from_second(1_739_321_024).unwrap())
    );
    assert_eq!(
        message.id_name,
        "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQUFERjg0NDEzNDdFODU3MUMxMAA="
    );
    assert_eq!(message.key, None);
    let profile = message.profile.unwrap();
    assert_eq!(profile.first_name.as_deref(), Some("Sheena"));
    assert_eq!(profile.last_name.as_deref(), Some("Nelson"));
}

#[test]
fn the_number_may_be_named_as_before_the_cloud() {
    let found = posted(
        "messages",
        &json!({
            "whatsapp_business_api_data": about(),
            "contacts": [{"profile": {"name": "Ada"}, "wa_id": "1"}],
            "messages": [{"from": "1", "id": "w", "timestamp": "1", "type": "text", "text": {"body": "hi"}}],
        }),
    );
    let [Inbound::Message(message)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(message.source_channel_id, NUMBER);
}

#[test]
fn several_messages_keep_their_order_and_their_authors() {
    let message = |from: &str, id: &str| json!({"from": from, "id": id, "timestamp": "1", "type": "text", "text": {"body": id}});
    let found = posted(
        "messages",
        &json!({
            "messaging_product": "whatsapp",
            "metadata": about(),
            "contacts": [
                {"profile": {"name": "Ada"}, "wa_id": "1"},
                {"profile": {"name": "Bea"}, "wa_id": "2"},
            ],
            "messages": [message("2", "a"), message("1", "b"), message("3", "c")],
        }),
    );
    let order: Vec<_> = found
        .iter()
        .map(|found| match found {
            Inbound::Message(message) => {
                let name = message
                    .profile
                    .as_ref()
                    .and_then(|profile| profile.first_name.as_deref());
                (message.content.text.as_str(), name)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, [("a", Some("Bea")), ("b", Some("Ada")), ("c", None)]);
}

#[test]
fn a_file_is_a_link_to_us_that_names_it() {
    let channel = Channel::id_of(&whatsapp_source(), NUMBER);
    let file = |kind: &str, more: Value| {
        let mut node = json!({
            "mime_type": "application/x",
            "sha256": "SfInY0gGKTsJlUWbwxC1k+FAD0FZHvzwfpvO0zX0GUI=",
            "id": "1003383421387256",
            "url": "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1",
        });
        node.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"type": kind, kind: node})
    };
    for (message, kind, text, name) in [
        (
            file("image", json!({"caption": "Taj Mahal"})),
            AttachmentKind::Image,
            "Taj Mahal",
            None,
        ),
        (file("video", json!({})), AttachmentKind::Video, "", None),
        (
            file("audio", json!({"voice": true})),
            AttachmentKind::Audio,
            "",
            None,
        ),
        (file("voice", json!({})), AttachmentKind::Audio, "", None),
        (
            file("sticker", json!({"animated": false})),
            AttachmentKind::Sticker,
            "",
            None,
        ),
        (
            file(
                "document",
                json!({"filename": "offer.pdf", "caption": "Our offer"}),
            ),
            AttachmentKind::File,
            "Our offer",
            Some("offer.pdf"),
        ),
    ] {
        let content = said(&message).content;
        assert_eq!(content.text, text);
        let [attachment] = &content.attachments[..] else {
            panic!("{content:?}");
        };
        assert_eq!(attachment.kind, kind);
        assert_eq!(attachment.name.as_deref(), name);
        assert_eq!(attachment.mime_type.as_deref(), Some("application/x"));
        let link = attachment.url.strip_prefix("https://example.com").unwrap();
        let link = link.strip_prefix(MEDIA_PATH).unwrap();
        assert_eq!(
            key().read(link),
            Some((channel, "1003383421387256".to_owned()))
        );
    }
}

#[test]
fn a_place_is_a_geo_uri() {
    let content = said(&json!({"type": "location", "location": {
        "address": "101 Forest Ave, Palo Alto, CA 94301",
        "latitude": 37.442_214_965_82,
        "longitude": -122.161_651_611_33,
        "name": "Philz Coffee",
        "url": "https://philzcoffee.com/",
    }}))
    .content;
    let [place] = &content.attachments[..] else {
        panic!("{content:?}");
    };
    assert_eq!(place.kind, AttachmentKind::Location);
    assert_eq!(place.url, "geo:37.44221496582,-122.16165161133");
    assert_eq!(place.name.as_deref(), Some("Philz Coffee"));
    assert_eq!(content.text, "");
}

#[test]
fn address_cards_and_orders_are_texts() {
    let cards = json!({"type": "contacts", "contacts": [
        {
            "name": {"formatted_name": "Barbara J. Johnson", "first_name": "Barbara"},
            "org": {"company": "Social Tsunami"},
            "phones": [
                {"phone": "+1 (650) 555-9999", "wa_id": "16505559999", "type": "MOBILE"},
                {"wa_id": "16505550000"},
            ],
            "emails": [{"email": "b@example.com", "type": "WORK"}],
        },
        {"name": {"first_name": "Bob"}},
        {"vcard": "BEGIN:VCARD", "phones": [{"phone": "+49 123"}]},
    ]});
    let expected =
        "Barbara J. Johnson: +1 (650) 555-9999, 16505550000, b@example.com\nBob\n+49 123";
    assert_eq!(said(&cards).content, Content::text(expected));
    let order = json!({"type": "order", "order": {
        "catalog_id": "194836987003835",
        "text": "Love these!",
        "product_items": [
            {"product_retailer_id": "di9ozbzfi4", "quantity": 2, "item_price": 30, "currency": "USD"},
            {"product_retailer_id": "nqryix03ez", "quantity": 1, "item_price": 25.5, "currency": "USD"},
        ],
    }});
    let expected = "Love these!\n2 × di9ozbzfi4 (30 USD)\n1 × nqryix03ez (25.5 USD)";
    assert_eq!(said(&order).content, Content::text(expected));
}

#[test]
fn buttons_lists_and_forms_are_postbacks() {
    let context = json!({"from": "15550783881", "id": "wamid.sent"});
    let button = json!({"context": context, "type": "button", "button": {"payload": "Unsubscribe", "text": "Stop"}});
    let reply = json!({"context": context, "type": "interactive", "interactive": {
        "type": "button_reply", "button_reply": {"id": "cancel-button", "title": "Cancel"}}});
    let list = json!({"context": context, "type": "interactive", "interactive": {
        "type": "list_reply",
        "list_reply": {"id": "priority_express", "title": "Priority Mail", "description": "1-2 days"}}});
    let form = json!({"context": context, "type": "interactive", "interactive": {
        "type": "nfm_reply",
        "nfm_reply": {"response_json": "{\"flow_token\":\"1\"}", "body": "Sent", "name": "flow"}}});
    for (message, text, payload, kind) in [
        (button, "Stop", "Unsubscribe", "button"),
        (reply, "Cancel", "cancel-button", "button_reply"),
        (list, "Priority Mail", "priority_express", "list_reply"),
        (form, "Sent", "{\"flow_token\":\"1\"}", "nfm_reply"),
    ] {
        let content = serde_json::to_value(said(&message).content).unwrap();
        let expected = json!({"text": text, "postback": {"payload": payload, "type": kind}});
        assert_eq!(content, expected);
    }
}

#[test]
fn an_advertisement_is_a_referral() {
    let referral = json!({
        "source_url": "https://fb.me/3cr4Wqqkv",
        "source_id": "120226305854810726",
        "source_type": "ad",
        "headline": "Chat with us",
        "ctwa_clid": "Aff-n8ZTODiE79d22KtAwQKj9e_mIEOO",
    });
    let message = json!({"type": "text", "text": {"body": "hi"}, "referral": referral});
    let postback = said(&message).content.postback.unwrap();
    assert_eq!(postback.referral.unwrap(), referral.to_string());
    assert_eq!(postback.kind, None);
}

#[test]
fn what_cannot_be_shown_says_so() {
    for message in [
        json!({
            "type": "unsupported",
            "errors": [{"code": 131_051, "title": "Message type unknown", "message": "Message type unknown",
                "error_data": {"details": "Message type is currently not supported."}}],
            "unsupported": {"type": "poll_update"},
        }),
        json!({"type": "something_new", "something_new": {}}),
        json!({"type": "text", "text": {}}),
        json!({"type": "interactive", "interactive": {"type": "call_permission_reply", "call_permission_reply": {}}}),
        json!({"type": "image", "image": {}}),
        json!({}),
    ] {
        assert_eq!(
            said(&message).content,
            Content::text(UNSUPPORTED_TEXT),
            "{message}"
        );
    }
}

#[test]
fn what_is_no_message_is_skipped_by_its_name() {
    let changed =
        json!({"body": "Ada changed from 1 to 2", "wa_id": "2", "type": "user_changed_number"});
    for (message, name) in [
        (
            json!({"type": "reaction", "reaction": {"message_id": "wamid.1", "emoji": "👍"}}),
            "reaction",
        ),
        (json!({"type": "system", "system": changed}), "system"),
        (json!({"type": "request_welcome"}), "request_welcome"),
        (
            json!({"type": "revoke", "revoke": {"original_message_id": "wamid.1"}}),
            "unsend",
        ),
        (
            json!({"type": "text", "text": {"body": "to all"}, "group_id": "Y2FwaV9ncm91cDox"}),
            "group",
        ),
        (
            json!({"type": "text", "text": {"body": "whose?"}, "from": null}),
            "no_contact",
        ),
    ] {
        assert_eq!(found(&message), Inbound::Skipped(name));
    }
    let errors =
        json!({"metadata": about(), "errors": [{"code": 130_429, "title": "Rate limit hit"}]});
    assert_eq!(posted("messages", &errors), [Inbound::Skipped("errors")]);
    let template = json!({"event": "APPROVED", "message_template_id": 1});
    assert_eq!(
        posted("message_template_status_update", &template),
        [Inbound::Skipped("change")]
    );
    let history = json!({"metadata": about(), "history": []});
    assert_eq!(posted("history", &history), [Inbound::Skipped("change")]);
}

#[test]
fn who_has_no_number_is_known_by_another_id() {
    let found = posted(
        "messages",
        &json!({
            "metadata": about(),
            "contacts": [{"profile": {"name": "Ada", "username": "ada"}, "user_id": "US.13491208655302741918"}],
            "messages": [{"from_user_id": "US.13491208655302741918", "id": "w", "timestamp": "1",
                "type": "text", "text": {"body": "hi"}}],
        }),
    );
    let [Inbound::Message(message)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(message.contact, "US.13491208655302741918");
    assert_eq!(
        message.profile.as_ref().unwrap().first_name.as_deref(),
        Some("Ada")
    );
}

#[test]
fn what_is_written_on_the_phone_of_the_business_is_its_own() {
    let found = posted(
        "smb_message_echoes",
        &json!({
            "messaging_product": "whatsapp",
            "metadata": about(),
            "message_echoes": [{
                "from": "15550783881",
                "to": "16505551234",
                "id": "wamid.echo",
                "timestamp": "1739321024",
                "type": "text",
                "text": {"body": "Here's the info you requested!"},
            }],
        }),
    );
    let [Inbound::Message(message)] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(message.contact, "16505551234");
    assert_eq!(message.sender.kind, SenderType::SourceUser);
    assert_eq!(message.sender.id, "15550783881");
    assert_eq!(message.content.text, "Here's the info you requested!");
}

#[test]
fn a_status_is_a_receipt_by_the_id_of_the_source() {
    for (word, kind) in [
        ("sent", ReceiptKind::Sent),
        ("delivered", ReceiptKind::Delivered),
        ("read", ReceiptKind::Read),
        ("played", ReceiptKind::Read),
    ] {
        let receipt = status(&json!({
            "id": "wamid.1",
            "status": word,
            "timestamp": "1750263773",
            "recipient_id": "16505551234",
            "conversation": {"id": "6ceb9d929c9bdc4f90e967a32f8639b4", "origin": {"type": "service"}},
            "pricing": {"billable": false, "pricing_model": "PMP", "category": "service", "type": "free_customer_service"},
        }));
        assert_eq!(receipt.kind, kind);
        assert_eq!(receipt.of, ReceiptOf::SourceIds(vec!["wamid.1".to_owned()]));
        assert_eq!(receipt.source_channel_id, NUMBER);
    }
}

#[test]
fn a_status_tells_our_own_id_where_it_was_sent_along() {
    let id = "01900000-0000-7000-8000-000000000000";
    let with = |data: String| {
        status(&json!({"id": "wamid.1", "status": "delivered", "timestamp": "1", "biz_opaque_callback_data": data})).of
    };
    let ours = ReceiptOf::Message(id.parse::<MessageId>().unwrap());
    assert_eq!(with(format!("tradewind:{id}")), ours);
    let by_source = ReceiptOf::SourceIds(vec!["wamid.1".to_owned()]);
    for other in [
        id.to_owned(),
        "tradewind:no-id".to_owned(),
        "campaign 7".to_owned(),
    ] {
        assert_eq!(with(other), by_source);
    }
}

#[test]
fn a_failure_says_why() {
    let failed = |errors: Value| {
        let receipt = status(&json!({
            "id": "wamid.1", "status": "failed", "timestamp": "1", "recipient_id": "1", "errors": errors}));
        match receipt.kind {
            ReceiptKind::Failed { reason } => reason,
            other => panic!("{other:?}"),
        }
    };
    let window = json!([{
        "code": 131_047,
        "title": "Re-engagement message",
        "message": "Re-engagement message",
        "error_data": {"details": "More than 24 hours have passed since the customer last replied."},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    }]);
    let expected = "Re-engagement message: More than 24 hours have passed since the customer last replied. (code 131047)";
    assert_eq!(failed(window), expected);
    assert_eq!(
        failed(json!([{"code": 131_026, "title": "Message undeliverable"}])),
        "Message undeliverable (code 131026)"
    );
    assert_eq!(
        failed(json!([])),
        "WhatsApp could not deliver it, and does not say why"
    );
}
