//! Finds pages, and the Instagram accounts that they are linked with.

use reqwest::Method;
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::picture;
use crate::{
    Explored,
    meta::{
        error::{Meaning, Problem},
        graph::{Call, Graph},
        json::{items, link, object, text},
    },
};

/// Answers of a list that are asked for, of up to a hundred pages each.
const ACCOUNT_LISTS_MAX: usize = 20;
const PAGE_FIELDS: &str = "id,name,name_with_location_descriptor,access_token,picture";
const OWN_FIELDS: &str =
    "id,name,access_token,picture,is_webhooks_subscribed,name_with_location_descriptor";
const LINKED_FIELDS: &str =
    "id,name,access_token,instagram_business_account{id,username,name,profile_picture_url}";
const OWN_LINKED_FIELDS: &str =
    "id,name,instagram_business_account{id,username,name,profile_picture_url}";

/// A page that the owner of a token may speak for.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) id: String,
    name: Option<String>,
    image_url: Option<String>,
    /// The page's own token, where Graph gave one.
    pub(super) token: Option<SecretString>,
    pub(super) linked: Option<Explored>,
}

impl Page {
    fn read(node: &Value) -> Option<Self> {
        let linked = object(node, "instagram_business_account").and_then(|account| {
            Some(Explored {
                source_channel_id: text(account, "id")?,
                name: text(account, "username").or_else(|| text(account, "name")),
                image_url: link(account, "profile_picture_url"),
            })
        });
        Some(Self {
            id: text(node, "id")?,
            name: text(node, "name_with_location_descriptor").or_else(|| text(node, "name")),
            image_url: picture(node),
            token: text(node, "access_token").map(SecretString::from),
            linked,
        })
    }

    pub(super) fn explored(&self) -> Explored {
        Explored {
            source_channel_id: self.id.clone(),
            name: self.name.clone(),
            image_url: self.image_url.clone(),
        }
    }

    fn is_linked_with(&self, account: &str) -> bool {
        let linked = self.linked.as_ref();
        linked.is_some_and(|linked| linked.source_channel_id == account)
    }
}

/// A page by its id.
pub(super) async fn read(
    graph: &Graph,
    token: &SecretString,
    page: &str,
) -> Result<Option<Page>, Problem> {
    let query = [("fields", OWN_FIELDS)];
    let answer = graph.call(token, Call::get(page, &query)).await?;
    Ok(Page::read(&answer))
}

/// The page that an Instagram account is linked with.
pub(super) async fn linked(
    graph: &Graph,
    token: &SecretString,
    account: &str,
) -> Result<Option<Page>, Problem> {
    let pages = match list(graph, token, true).await {
        // The token is that of a page, which has no pages.
        Err(Problem::Refused(refusal)) if refusal.meaning == Meaning::No => {
            let query = [("fields", OWN_LINKED_FIELDS)];
            let answer = graph.call(token, Call::get("me", &query)).await?;
            Page::read(&answer).into_iter().collect()
        }
        pages => pages?,
    };
    let mut pages = pages.into_iter();
    Ok(pages.find(|page| page.is_linked_with(account)))
}

/// The pages of a token's owner.
pub(super) async fn list(
    graph: &Graph,
    token: &SecretString,
    with_linked: bool,
) -> Result<Vec<Page>, Problem> {
    let fields = if with_linked {
        LINKED_FIELDS
    } else {
        PAGE_FIELDS
    };
    let mut query = vec![
        ("fields".to_owned(), fields.to_owned()),
        ("limit".to_owned(), "100".to_owned()),
    ];
    let mut pages = Vec::new();
    for _ in 0..ACCOUNT_LISTS_MAX {
        let pairs: Vec<_> = query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let call = Call {
            method: Method::GET,
            path: "me/accounts",
            query: &pairs,
            body: None,
        };
        let answer = graph.call(token, call).await?;
        pages.extend(items(&answer, "data").iter().filter_map(Page::read));
        match next(&answer) {
            Some(next) => query = next,
            None => break,
        }
    }
    Ok(pages)
}

/// The query of a list's next answer. The rest of the address is ours: whatever the answer says, the token
/// goes to the API only.
fn next(answer: &Value) -> Option<Vec<(String, String)>> {
    let next = object(answer, "paging").and_then(|paging| text(paging, "next"))?;
    let next = Url::parse(&next).ok()?;
    let pairs = next.query_pairs().into_owned();
    Some(pairs.filter(|(name, _)| name != "access_token").collect())
}
