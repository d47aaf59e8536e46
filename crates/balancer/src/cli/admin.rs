//! Asking a balancer that runs, on its admin port.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use reqwest::Method;
use serde::Deserialize;

/// A reload waits for new sources and for every worker, some seconds at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom to ask.
#[derive(Clone, Debug, Args)]
pub(super) struct AdminPort {
    /// The admin port of the balancer
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9099")]
    admin: SocketAddr,

    /// The bearer token of the admin port
    #[arg(long, env = "BERTH_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// What it answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl AdminPort {
    /// Makes a call, and waits for its answer.
    pub(super) fn call(&self, method: Method, path: &str) -> anyhow::Result<Answer> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.send(method, path)).with_context(|| {
            format!("cannot ask the balancer at {}; name its admin port with --admin ADDR", self.admin)
        })
    }

    async fn send(&self, method: Method, path: &str) -> reqwest::Result<Answer> {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        let mut request = client.request(method, format!("http://{}{path}", self.admin));
        if let Some(token) = self.token.as_deref().filter(|token| !token.is_empty()) {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await?;
        Ok(Answer { status: answer.status().as_u16(), body: answer.bytes().await?.to_vec() })
    }
}

impl Answer {
    /// What went wrong, in the balancer's words.
    pub(super) fn problem(&self) -> String {
        let problem = serde_json::from_slice(&self.body).map(|problem: Problem| problem.detail);
        problem.unwrap_or_else(|_| format!("the balancer answered with status {}", self.status))
    }
}
