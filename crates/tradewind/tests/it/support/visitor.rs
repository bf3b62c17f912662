//! A visitor of a chat channel.

use serde_json::{Value, json};

use super::server::{Answer, Server};

/// A visitor with a token. It outlives the server's process.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) token: String,
}

impl Visitor {
    /// A new visitor of a channel.
    pub(crate) async fn arrive(server: &Server, channel: &str) -> Self {
        let body = json!({ "channel_id": channel });
        let answer = server.try_call("chatplugin.authenticate", &body, &[]).await;
        let token = answer.unwrap().ok()["token"].as_str().unwrap().to_owned();
        Self { token }
    }

    /// Writes, and gives the stored message.
    pub(crate) async fn write(&self, server: &Server, text: &str) -> Value {
        self.try_write(server, text).await.unwrap().ok()
    }

    /// Writes; fails when the connection does.
    pub(crate) async fn try_write(
        &self,
        server: &Server,
        text: &str,
    ) -> Result<Answer, reqwest::Error> {
        let body = json!({"message": {"text": text}});
        server
            .try_call("chatplugin.send", &body, &[("authorization", &self.token)])
            .await
    }

    /// What was said in the conversation so far, as the page shows it after a reload.
    pub(crate) async fn texts(&self, server: &Server) -> Vec<String> {
        let caller = [("authorization", self.token.as_str())];
        let resume = server
            .try_call("chatplugin.resumeToken", &json!({}), &caller)
            .await;
        let resume = json!({ "resume_token": resume.unwrap().ok()["resume_token"] });
        let back = server
            .try_call("chatplugin.authenticate", &resume, &[])
            .await;
        let messages = back.unwrap().ok()["messages"].as_array().cloned().unwrap();
        messages
            .iter()
            .map(|message| message["content"]["text"].as_str().unwrap().to_owned())
            .collect()
    }
}
