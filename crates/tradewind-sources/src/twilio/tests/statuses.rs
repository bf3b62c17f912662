//! What became of messages of ours.

use tradewind_model::MessageId;
use tradewind_store::{ReceiptKind, ReceiptOf};

use super::{URL, read, with};
use crate::{Inbound, InboundReceipt};

const STATUS: &[(&str, &str)] = &[
    ("SmsSid", "SM1f0e8ae6ade43cb3c0ce4525424e404f"),
    ("SmsStatus", "delivered"),
    ("MessageStatus", "delivered"),
    ("To", "+15017122661"),
    ("MessageSid", "SM1f0e8ae6ade43cb3c0ce4525424e404f"),
    ("AccountSid", "ACffffffffffffffffffffffffffffffff"),
    ("RawDlrDoneDate", "2402081201"),
    ("From", "+15558675310"),
    ("ApiVersion", "2010-04-01"),
];

fn receipt(url: &str, form: &[(&str, &str)]) -> InboundReceipt {
    match read(url, form) {
        Inbound::Receipt(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_status_is_a_receipt_of_the_message_that_its_address_names() {
    let id = "01a20a53-61bf-71b0-ac27-31e8c343a5f1";
    let url = format!("{URL}?message={id}");
    let read = receipt(&url, STATUS);
    assert_eq!(read.source.name(), "twilio.sms");
    assert_eq!(read.source_channel_id, "+15558675310");
    assert_eq!(read.kind, ReceiptKind::Delivered);
    assert_eq!(
        read.of,
        ReceiptOf::Message(id.parse::<MessageId>().unwrap())
    );
    for url in [URL.to_owned(), format!("{URL}?message=x")] {
        let sid = "SM1f0e8ae6ade43cb3c0ce4525424e404f".to_owned();
        assert_eq!(receipt(&url, STATUS).of, ReceiptOf::SourceIds(vec![sid]));
    }
}

#[test]
fn each_status_is_known() {
    let kind = |fields: &[_]| receipt(URL, &with(STATUS, fields)).kind;
    let status = |status| kind(&[("MessageStatus", status), ("SmsStatus", status)]);
    for taken in ["accepted", "scheduled", "queued", "sending", "sent"] {
        assert_eq!(status(taken), ReceiptKind::Sent, "{taken}");
    }
    assert_eq!(status("read"), ReceiptKind::Read);
    assert_eq!(kind(&[("EventType", "READ")]), ReceiptKind::Read);
    assert_eq!(kind(&[("EventType", "DELIVERED")]), ReceiptKind::Delivered);
    let failed = |reason: &str| ReceiptKind::Failed {
        reason: reason.to_owned(),
    };
    assert_eq!(status("canceled"), failed("canceled"));
    assert_eq!(
        kind(&[
            ("MessageStatus", "undelivered"),
            ("ErrorCode", "63016"),
            ("ChannelStatusMessage", "outside the allowed window"),
        ]),
        failed("undelivered: error 63016: outside the allowed window")
    );
    assert_eq!(
        kind(&[("MessageStatus", "failed"), ("ErrorCode", "30008")]),
        failed("failed: error 30008")
    );
    let odd = with(STATUS, &[("MessageStatus", "pondering")]);
    assert_eq!(
        read(URL, &odd),
        Inbound::Skipped("a status that is not known")
    );
}

#[test]
fn a_status_of_whatsapp_is_one_of_its_channel() {
    let form = with(
        STATUS,
        &[
            ("EventType", "READ"),
            ("SmsStatus", "read"),
            ("MessageStatus", "read"),
            ("ChannelToAddress", "+1501712XXXX"),
            ("ChannelPrefix", "whatsapp"),
            ("ChannelInstallSid", "XEcc20d939f803ee381f2442185d0d5dc5"),
            ("StructuredMessage", "false"),
            ("Body", "the text again"),
            ("To", "whatsapp:+15017122661"),
            ("From", "whatsapp:+14155238886"),
        ],
    );
    let read = receipt(URL, &form);
    assert_eq!(read.source.name(), "twilio.whatsapp");
    assert_eq!(read.source_channel_id, "whatsapp:+14155238886");
    assert_eq!(read.kind, ReceiptKind::Read);
}
