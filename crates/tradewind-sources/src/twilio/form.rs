//! The form that Twilio posts.

use http::{HeaderMap, header};

const FORM: &str = "application/x-www-form-urlencoded";

/// Names and values, in the order in which they came.
#[derive(Clone, Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body; `None`: its headers say that it is something else.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let is_form = headers.get(header::CONTENT_TYPE).is_none_or(|value| {
            let value = value.to_str().unwrap_or_default();
            let media_type = value.split(';').next().unwrap_or_default();
            media_type.trim().eq_ignore_ascii_case(FORM)
        });
        let fields = url::form_urlencoded::parse(body).into_owned();
        is_form.then(|| Self(fields.collect()))
    }

    /// A field's text, empty ones included.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A field's text if there is one.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// The fields whose names begin so.
    pub(super) fn beginning<'a>(
        &'a self,
        start: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let fields = self.0.iter();
        let fields = fields.filter(move |(name, _)| name.starts_with(start));
        fields.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What is signed of it: each name and its value, by name; of a name that comes twice, each value once,
    /// sorted, as Twilio's own libraries have it.
    pub(super) fn signed_text(&self) -> String {
        let mut fields: Vec<_> = self.0.iter().collect();
        fields.sort();
        fields.dedup();
        let texts = fields.into_iter().flat_map(|(name, value)| [name, value]);
        texts.map(String::as_str).collect()
    }
}

/// A parameter of an address's query.
pub(super) fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let query = query.split('#').next().unwrap_or_default();
    let mut parameters = url::form_urlencoded::parse(query.as_bytes());
    let (_, value) = parameters.find(|(key, _)| key == name)?;
    Some(value.into_owned())
}
