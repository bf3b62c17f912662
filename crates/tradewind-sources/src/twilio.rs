//! Twilio: SMS and `WhatsApp` by the numbers of one account.
//!
//! Two sources, because a channel of each is another number to the contact; but one account, one API and one
//! path at which Twilio posts. Nothing paces what is sent: Twilio queues the messages of a number itself and
//! gives them to the carrier as fast as that number may; when its API is called too often it says so, and the
//! message is tried again.

mod api;
mod form;
mod inlet;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use tradewind_model::{AttachmentKind, Message, Source};

use self::{api::Api, inlet::TwilioInlet};
use crate::{
    Account, AskError, Connected, Explored, Provider, SendError, Sent, Sources, Tools, Wish,
    config::TwilioConfig,
};

/// Files of one message, in either direction: what Twilio takes and sends at most.
const MEDIA_FILES_MAX: usize = 10;
/// What an address begins with that is one of `WhatsApp`'s.
const WHATSAPP: &str = "whatsapp:";
/// The path of ours at which Twilio posts.
const PATH: &str = "/twilio";

/// Adds Twilio's sources, and the path where Twilio posts for both.
pub(crate) fn add(sources: &mut Sources, config: &TwilioConfig, tools: &Tools) {
    for service in [Service::Sms, Service::WhatsApp] {
        let twilio = Twilio::new(service, config, tools);
        sources.providers.push(Arc::new(twilio));
    }
    let inlet = TwilioInlet::new(config);
    sources.inlets.push(Arc::new(inlet));
}

/// What a number of the account is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Sms,
    WhatsApp,
}

/// One of the two sources.
struct Twilio {
    service: Service,
    api: Api,
}

impl Twilio {
    fn new(service: Service, config: &TwilioConfig, tools: &Tools) -> Self {
        let api = Api {
            config: config.clone(),
            tools: tools.clone(),
        };
        Self { service, api }
    }
}

#[async_trait]
impl Provider for Twilio {
    fn source(&self) -> Source {
        self.service.source()
    }

    fn default_channel_name(&self) -> &str {
        match self.service {
            Service::Sms => "Twilio SMS Channel",
            Service::WhatsApp => "Twilio Whatsapp Channel",
        }
    }

    fn takes(&self, kind: AttachmentKind) -> bool {
        is_file(kind)
    }

    /// Twilio is told where to post in its console, so there is nothing to set up. It is only asked whether
    /// it knows the account: if that cannot be asked now, the channel is connected all the same.
    async fn connect(&self, wish: Wish) -> Result<Connected, AskError> {
        let connected = Connected::as_wished(wish)?;
        self.service.check(&connected.source_channel_id)?;
        self.api.check_account().await?;
        // What acts for the channel is the account's token, which is in the settings.
        Ok(Connected {
            token: None,
            ..connected
        })
    }

    /// The account's numbers. Those that `WhatsApp` knows are listed in Twilio's console only.
    async fn explore(&self, _: &SecretString) -> Result<Vec<Explored>, AskError> {
        match self.service {
            Service::Sms => self.api.numbers().await,
            Service::WhatsApp => Ok(Vec::new()),
        }
    }

    async fn send(&self, account: &Account, message: &Message) -> Result<Sent, SendError> {
        let files = &message.content.attachments;
        let files_max = match self.service {
            Service::Sms => MEDIA_FILES_MAX,
            Service::WhatsApp => 1,
        };
        if files.len() > files_max {
            let reason = format!("it has {} files, and {files_max} can be sent", files.len());
            return Err(SendError::Final { reason });
        }
        self.api
            .send(&account.channel.source_channel_id, message)
            .await
    }

    async fn media(&self, _: &Account, reference: &str) -> Result<reqwest::Response, AskError> {
        self.api.media(reference).await
    }
}

impl Service {
    /// To which of the two an address belongs; `None`: to another service of Twilio's.
    fn of_address(address: &str) -> Option<Self> {
        if address.starts_with(WHATSAPP) {
            return Some(Self::WhatsApp);
        }
        (!address.contains(':')).then_some(Self::Sms)
    }

    fn source(self) -> Source {
        let name = match self {
            Self::Sms => "twilio.sms",
            Self::WhatsApp => "twilio.whatsapp",
        };
        Source::named(name)
    }

    /// Whether such an address can be a channel. Twilio would not say that it cannot; nothing would ever come.
    fn check(self, address: &str) -> Result<(), AskError> {
        let wrong = |why| Err(AskError::invalid("source_channel_id", why));
        match self {
            Self::Sms if address.starts_with(WHATSAPP) => {
                wrong("belongs to the source twilio.whatsapp")
            }
            Self::Sms if !is_number(address) && !is_short_code(address) => {
                wrong("must be a number such as +15551234567, or a short code")
            }
            Self::WhatsApp if !address.strip_prefix(WHATSAPP).is_some_and(is_number) => {
                wrong("must be a number such as whatsapp:+15551234567")
            }
            Self::Sms | Self::WhatsApp => Ok(()),
        }
    }
}

/// What is sent as a file, by its address.
fn is_file(kind: AttachmentKind) -> bool {
    match kind {
        AttachmentKind::Image
        | AttachmentKind::Video
        | AttachmentKind::Audio
        | AttachmentKind::File => true,
        AttachmentKind::Sticker | AttachmentKind::Location | AttachmentKind::Link => false,
    }
}

/// E.164: a plus sign and at most fifteen digits, of which the first is not zero.
fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && !digits.starts_with('0') && is_digits(digits)
    })
}

/// Three to eight digits, depending on the country.
fn is_short_code(text: &str) -> bool {
    (3..=8).contains(&text.len()) && is_digits(text)
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}
