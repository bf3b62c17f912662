//! A customer's registration for events.

use uuid::Uuid;

use crate::WebhookId;

#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: WebhookId,
    pub url: String,
    /// Sent with every delivery, in this order.
    pub headers: Vec<(String, String)>,
    pub status: WebhookStatus,
    /// Signs deliveries: its canonical text is the key. Made once, at the first subscribe.
    pub api_secret: Uuid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookStatus {
    Subscribed,
    Unsubscribed,
}

impl WebhookStatus {
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribed => "Subscribed",
            Self::Unsubscribed => "Unsubscribed",
        }
    }
}

impl std::fmt::Debug for Webhook {
    /// Without the secret, and without the headers' values, which often are one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("id", &self.id)
            .field("url", &self.url)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// The webhook of callers that name none: an installation's first and often only one. The id is
    /// the one Airy Core gave its single webhook.
    pub const DEFAULT_ID: WebhookId =
        WebhookId::from_uuid(Uuid::from_u128(0x339a_b777_92aa_43a5_b452_82e7_3c50_fc59));
}
