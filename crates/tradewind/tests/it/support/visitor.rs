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

    /// The conversation so far, as the page gets it after a reload.
    pub(crate) async fn history(&self, server: &Server) -> Vec<Value> {
        let caller = [("authorization", self.token.as_str())];
        let nothing = json!({});
        let resume = server.try_call("chatplugin.resumeToken", &nothing, &caller);
        let resume = resume.await.unwrap().ok()["resume_token"].clone();
        let resume = json!({ "resume_token": resume });
        let back = server.try_call("chatplugin.authenticate", &resume, &[]);
        let back = back.await.unwrap().ok();
        back["messages"].as_array().cloned().unwrap()
    }

    /// The texts of the conversation so far.
    pub(crate) async fn texts(&self, server: &Server) -> Vec<String> {
        let text = |message: &Value| message["content"]["text"].as_str().unwrap().to_owned();
        self.history(server).await.iter().map(text).collect()
    }
}
