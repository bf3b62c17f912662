//! Pages: what Messenger and Instagram have in common, and where they differ.

mod account;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use tradewind_model::{AttachmentKind, Message, Source};

use super::{
    OURS,
    echoes::Echoes,
    error::{Meaning, Problem},
    facebook,
    graph::{Call, Graph, id},
    instagram,
    json::{items, link, object, text},
    phone::token,
};
use crate::{
    Account, AskError, Connected, Explored, Pace, Profile, Provider, SendError, Sent, Wish,
    parts::Parts,
};

/// What a page tells us of. Meta posts only what is ticked for the app too.
const FIELDS: &str = "messages,messaging_postbacks,messaging_referrals,messaging_optins,\
     message_deliveries,message_reads,message_echoes,message_reactions,messaging_handovers,standby";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    Facebook,
    /// A professional account that is linked with a page; the page's token is its own.
    Instagram,
}

pub(super) struct Pages {
    network: Network,
    graph: Graph,
    /// Where echoes of what is sent may come in.
    echoes: Arc<Echoes>,
    parts: Parts,
}

impl Pages {
    pub(super) fn new(network: Network, graph: Graph, echoes: Arc<Echoes>) -> Self {
        Self {
            network,
            graph,
            echoes,
            parts: Parts::default(),
        }
    }

    /// The name that the contact has in the conversation, for contacts whose profile is not shown.
    async fn name_in_conversation(
        &self,
        account: &Account,
        contact: &str,
        token: &SecretString,
    ) -> Result<Option<Profile>, AskError> {
        let path = format!("{}/conversations", account.channel.source_channel_id);
        let query = [
            ("platform", "messenger"),
            ("user_id", contact),
            ("fields", "participants"),
        ];
        let answer = match self.graph.call(token, Call::get(&path, &query)).await {
            Ok(answer) => answer,
            Err(problem) => return unknown(problem),
        };
        let conversations = items(&answer, "data").iter();
        let mut people = conversations.flat_map(|conversation| {
            let participants = conversation.get("participants");
            participants.map_or(&[][..], |people| items(people, "data"))
        });
        let contact = people.find(|person| text(person, "id").as_deref() == Some(contact));
        let name = contact.and_then(|person| text(person, "name"));
        Ok(name.map(|name| Profile::of_name(&name)))
    }
}

#[async_trait]
impl Provider for Pages {
    fn source(&self) -> Source {
        match self.network {
            Network::Facebook => facebook(),
            Network::Instagram => instagram(),
        }
    }

    fn default_channel_name(&self) -> &'static str {
        match self.network {
            Network::Facebook => "Facebook page",
            Network::Instagram => "Instagram account",
        }
    }

    fn takes(&self, kind: AttachmentKind) -> bool {
        use AttachmentKind::{Audio, File, Image, Video};
        match self.network {
            Network::Facebook => matches!(kind, Image | Video | Audio | File),
            Network::Instagram => matches!(kind, Image | Video | Audio),
        }
    }

    /// Meta takes 300 messages a second, but at more than 40 a page's inbox stops to show them: 15 at once and
    /// 25 more.
    fn pace(&self) -> Option<Pace> {
        Some(Pace {
            every: Duration::from_millis(40),
            burst: 15,
        })
    }

    async fn connect(&self, wish: Wish) -> Result<Connected, AskError> {
        let Some(account) = wish.source_channel_id.as_deref().and_then(id) else {
            let why = match self.network {
                Network::Facebook => "must be the id of a page",
                Network::Instagram => "must be the id of an Instagram account",
            };
            return Err(AskError::invalid("source_channel_id", why));
        };
        let Some(token) = &wish.token else {
            return Err(AskError::invalid("token", "is required"));
        };
        let token = self.graph.long_lived(token).await?;
        let page = match self.network {
            Network::Facebook => account::read(&self.graph, &token, account).await,
            Network::Instagram => account::linked(&self.graph, &token, account).await,
        };
        let page = page
            .map_err(Problem::of_given_token)?
            .ok_or(AskError::NotFound)?;
        // Without one, the given token is that of the page itself.
        let token = page.token.clone().unwrap_or(token);
        let shown = match self.network {
            Network::Facebook => page.explored(),
            Network::Instagram => page.linked.ok_or(AskError::NotFound)?,
        };
        Ok(Connected {
            source_channel_id: shown.source_channel_id,
            name: wish.name.or(shown.name),
            image_url: wish.image_url.or(shown.image_url),
            token: Some(token),
        })
    }

    /// Makes the page post what happens there; of an account at Instagram, the page whose token it has.
    async fn subscribe(&self, account: &Account) -> Result<(), AskError> {
        let page = match self.network {
            Network::Facebook => id(&account.channel.source_channel_id),
            Network::Instagram => Some("me"),
        };
        let (Some(page), Some(token)) = (page, &account.token) else {
            return Err(AskError::NotFound);
        };
        let call = Call {
            method: Method::POST,
            path: &format!("{page}/subscribed_apps"),
            query: &[("subscribed_fields", FIELDS)],
            body: None,
        };
        let subscribed = self.graph.call(token, call).await;
        subscribed.map(|_| ()).map_err(Problem::of_given_token)
    }

    async fn explore(&self, token: &SecretString) -> Result<Vec<Explored>, AskError> {
        let with_linked = self.network == Network::Instagram;
        let pages = account::list(&self.graph, token, with_linked).await;
        let pages = pages.map_err(Problem::of_given_token)?.into_iter();
        Ok(match self.network {
            Network::Facebook => pages.map(|page| page.explored()).collect(),
            Network::Instagram => pages.filter_map(|page| page.linked).collect(),
        })
    }

    /// For an account at Instagram it does nothing: its page would end to post what happens in Messenger.
    async fn disconnect(&self, account: &Account) -> Result<(), AskError> {
        let page = id(&account.channel.source_channel_id);
        let (Network::Facebook, Some(page), Some(token)) = (self.network, page, &account.token)
        else {
            return Ok(());
        };
        let call = Call {
            method: Method::DELETE,
            path: &format!("{page}/subscribed_apps"),
            query: &[],
            body: None,
        };
        self.graph.call(token, call).await?;
        Ok(())
    }

    async fn send(&self, account: &Account, message: &Message) -> Result<Sent, SendError> {
        let token = token(account)?;
        let parts = parts(self.network, message);
        let send = async |part| {
            let sending = self.echoes.sending(part);
            let answer = self.graph.send(token, "me/messages", part).await?;
            let name = text(&answer, "message_id");
            if let (Some(sending), Some(name)) = (sending, &name) {
                sending.taken(name);
            }
            Ok(name)
        };
        self.parts
            .send(message.id, parts.len(), |part| send(&parts[part]))
            .await
    }

    fn has_profiles(&self) -> bool {
        true
    }

    async fn profile(&self, account: &Account, contact: &str) -> Result<Option<Profile>, AskError> {
        let (Some(contact), Some(token)) = (id(contact), &account.token) else {
            return Ok(None);
        };
        let fields = match self.network {
            Network::Facebook => "first_name,last_name,profile_pic",
            Network::Instagram => "name,username,profile_pic",
        };
        let query = [("fields", fields)];
        let known = match self.graph.call(token, Call::get(contact, &query)).await {
            Ok(answer) => profile(&answer),
            Err(problem) => unknown(problem)?,
        };
        match (known, self.network) {
            (None, Network::Facebook) => self.name_in_conversation(account, contact, token).await,
            (known, _) => Ok(known),
        }
    }
}

/// What a refusal says of the contact: nothing, unless it is about something else.
fn unknown(problem: Problem) -> Result<Option<Profile>, AskError> {
    match problem {
        Problem::Refused(refusal)
            if matches!(refusal.meaning, Meaning::No | Meaning::NoSuchThing) =>
        {
            Ok(None)
        }
        problem => Err(problem.into()),
    }
}

fn profile(answer: &Value) -> Option<Profile> {
    let whole = || text(answer, "name").or_else(|| text(answer, "username"));
    let (first_name, last_name) = (text(answer, "first_name"), text(answer, "last_name"));
    let named = if first_name.is_none() && last_name.is_none() {
        whole()
            .map(|name| Profile::of_name(&name))
            .unwrap_or_default()
    } else {
        Profile {
            first_name,
            last_name,
            avatar_url: None,
        }
    };
    let profile = Profile {
        avatar_url: link(answer, "profile_pic"),
        ..named
    };
    (profile != Profile::default()).then_some(profile)
}

/// A message as Messenger takes it: first the text, then each attachment.
fn parts(network: Network, message: &Message) -> Vec<Value> {
    let content = &message.content;
    let mut bodies = Vec::new();
    if !content.text.is_empty() {
        bodies.push(json!({"text": content.text}));
    }
    bodies.extend(content.attachments.iter().map(|attachment| {
        let payload = json!({"url": attachment.url, "is_reusable": false});
        json!({"attachment": {"type": attachment.kind.name(), "payload": payload}})
    }));
    let part = |mut body: Value| {
        if network == Network::Facebook {
            // By this an echo of it is known, on whichever node it comes in.
            body["metadata"] = format!("{OURS}{}", message.id).into();
        }
        json!({
            "recipient": {"id": message.contact_source_id},
            "messaging_type": "RESPONSE",
            "message": body,
        })
    };
    bodies.into_iter().map(part).collect()
}

/// The address of a picture.
fn picture(node: &Value) -> Option<String> {
    let picture = object(node, "picture")?;
    object(picture, "data").and_then(|data| link(data, "url"))
}
