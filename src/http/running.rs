//! The other end of the interface: what other commands ask of the running process.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::config::HttpConfig;
use crate::error::{Error, ErrorKind, Result};

/// Longer than the process takes for any answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// `GET` of a path that answers with JSON.
///
/// # Errors
/// When nobody answers, or what answers is no stream-bridge, or it refuses.
pub fn get(config: &HttpConfig, path: &str) -> Result<Value> {
    let (agent, url) = reach(config, path)?;
    let text = answer(config, agent.get(url).call())?;
    serde_json::from_str(&text).map_err(|_| unanswered(config, "the answer is no JSON: another program listens there"))
}

/// `POST` of a text; the answer, a line of text.
///
/// # Errors
/// As [`get`].
pub fn post(config: &HttpConfig, path: &str, body: &str) -> Result<String> {
    let (agent, url) = reach(config, path)?;
    let mut request = agent.post(url);
    if !config.token.expose().is_empty() {
        request = request.header("Authorization", format!("Bearer {}", config.token.expose()));
    }
    answer(config, request.send(body)).map(|text| text.trim_end().to_owned())
}

fn reach(config: &HttpConfig, path: &str) -> Result<(Agent, String)> {
    if config.listen.is_empty() {
        let text = "http.listen is off, so the running process cannot be asked: set http.listen = \"127.0.0.1:9187\"";
        return Err(Error::new(ErrorKind::Config, text));
    }
    // What listens on every address is asked on this machine.
    let host_port = config.listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let limits = Agent::config_builder().timeout_global(Some(ANSWER_TIMEOUT));
    let agent = limits.proxy(None).http_status_as_error(false).build().into();
    Ok((agent, format!("http://{host_port}{path}")))
}

fn answer(
    config: &HttpConfig,
    response: std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<String> {
    let mut response = response.map_err(|error| unanswered(config, &error.to_string()))?;
    let text = response.body_mut().read_to_string().map_err(|error| unanswered(config, &error.to_string()))?;
    if response.status().is_success() {
        return Ok(text);
    }
    let text = format!("stream-bridge on {}: {}", config.listen, text.trim_end());
    Err(Error::new(ErrorKind::SourceDown, text))
}

fn unanswered(config: &HttpConfig, reason: &str) -> Error {
    let text =
        format!("no running stream-bridge answers on {} ({reason}): start it with `stream-bridge run`", config.listen);
    Error::new(ErrorKind::SourceDown, text)
}
