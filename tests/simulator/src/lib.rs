//! comms-simulator: Meta's Cloud API on this machine, for tests and for the local stack; and of AWS what the emulator
//! does not have, for setting senders up.
//!
//! It keeps the provider's rules (bearer tokens, shapes and limits, approved templates, the 24-hour window, the
//! signature of webhooks) and breaks them on request: a [`Script`] makes the next sends fail, hang, or be accepted
//! without an answer. Every call and every webhook delivery is kept, so tests assert on counts and not on luck.
//!
//! It shares no code with `comms-providers`, on purpose: two readings of the provider's documentation meet here.
//! Everything in [`Simulator`] can also be done over HTTP under `/_sim/` (README.md).

#![expect(
    clippy::disallowed_methods,
    reason = "it plays Meta, which has its own clock and client and works on after answering"
)]

mod aws;
mod business;
mod cloud;
mod control;
mod handle;
mod line;
mod media;
mod number;
mod poster;
mod record;
mod script;
mod state;
mod webhook;

pub use aws::{AwsCall, AwsScript, DomainState, SentEmail, SentText, SmsSender};
pub use business::{GraphCall, GraphScript, Review, Signup, Waba, WabaNumber};
pub use media::{Media, MediaAnswer, MediaCall, MediaScript, MediaStep};
pub use number::{Number, PairRate, Template, TemplateState};
pub use record::{Attempt, Call, Delivery, DeliveryState, Receipt};
pub use script::{Answer, Script, StatusStep};
pub use webhook::{Inbound, SignedWebhook, StatusReport, WebhookBuilder, sign};

use line::Lines;
use state::Shared;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How to start.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// On 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Of the Meta app that operators connect to.
    pub app_id: String,
    /// Signs every webhook.
    pub app_secret: String,
    /// A webhook that is not answered with 200 is posted again after this, then after twice as long, and so on;
    /// eight attempts in all.
    pub retry_base: Duration,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            port: 0,
            app_id: "4815162342".to_owned(),
            app_secret: "test_app_secret".to_owned(),
            retry_base: Duration::from_millis(200),
        }
    }
}

/// Why the simulator did not do what it was told; the text names the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// A running simulator; it stops when this is dropped.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Simulator {
    /// Binds 127.0.0.1 and serves on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the port is taken or no HTTP client can be made.
    pub async fn start(config: SimulatorConfig) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(config)?);
        let app = cloud::routes()
            .merge(aws::routes())
            .merge(control::routes())
            .with_state(Arc::clone(&shared));
        let service = app.into_make_service_with_connect_info::<line::Line>();
        let stopped = Arc::clone(&shared);
        let server = axum::serve(Lines(listener), service)
            .with_graceful_shutdown(async move { stopped.stopped().await });
        let server = tokio::spawn(async move { server.await });
        Ok(Self {
            shared,
            address,
            server: Some(server),
        })
    }

    /// `http://127.0.0.1:{port}`; the Graph API is below it, as in `{url}/v26.0`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops, and returns when the last connection is closed.
    pub async fn stop(mut self) {
        self.shared.stop();
        if let Some(server) = self.server.take() {
            // A panic of the server has been printed; for the caller it has stopped.
            drop(server.await);
        }
    }

    /// Adds a business number, or replaces the one with the same id.
    ///
    /// # Errors
    ///
    /// When its `callback_url` is not on this machine.
    pub fn register(&self, number: Number) -> Result<(), Refused> {
        number.check()?;
        self.shared.update(|state| state.register(number));
        Ok(())
    }

    /// Queues a script; the first in the queue that fits a send is used.
    pub fn script(&self, script: Script) {
        self.shared.update(|state| state.scripts.push(script));
    }

    /// Keeps a file that a customer sends; its id is what webhooks name.
    ///
    /// # Errors
    ///
    /// When its number is unknown.
    pub fn upload(&self, media: Media) -> Result<String, Refused> {
        self.shared.update(|state| state.upload(media))
    }

    /// A download URL of the file as webhooks may bring it; it lives for five minutes.
    ///
    /// # Errors
    ///
    /// When there is no such file.
    pub fn media_url(&self, media_id: &str) -> Result<String, Refused> {
        let (url, now) = (self.url(), state::now_ms());
        self.shared
            .update(|state| state.media_url(media_id, &url, now))
    }

    /// Queues a script for calls about a file.
    pub fn script_media(&self, script: MediaScript) {
        self.shared.update(|state| state.media.scripts.push(script));
    }

    /// The URLs of the file are dead from now on; new ones are given out.
    pub fn expire_media_urls(&self, media_id: &str) {
        self.shared.update(|state| state.expire_urls(media_id));
    }

    /// The file's seven days are over.
    ///
    /// # Errors
    ///
    /// When there is no such file.
    pub fn forget_media(&self, media_id: &str) -> Result<(), Refused> {
        self.shared.update(|state| state.forget(media_id))
    }

    /// Every call about files so far, in order.
    #[must_use]
    pub fn media_calls(&self) -> Vec<MediaCall> {
        self.shared.read(|state| state.media.calls.clone())
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.read(|state| state.calls.clone())
    }

    /// Every read receipt that was taken, in order. They are none of the calls.
    #[must_use]
    pub fn receipts(&self) -> Vec<Receipt> {
        self.shared.read(|state| state.receipts.clone())
    }

    /// Every webhook so far, with its attempts.
    #[must_use]
    pub fn webhooks(&self) -> Vec<Delivery> {
        self.shared.read(|state| state.deliveries.clone())
    }

    /// The webhooks of numbers without a `callback_url`, in order, each once.
    #[must_use]
    pub fn take_held(&self) -> Vec<SignedWebhook> {
        self.shared.update(state::State::take_held)
    }

    /// Waits until at least `count` calls have come in, for ever if need be, and returns all of them.
    pub async fn wait_for_calls(&self, count: usize) -> Vec<Call> {
        self.shared
            .wait_for(|state| (state.calls.len() >= count).then(|| state.calls.clone()))
            .await
    }

    /// Waits until no webhook is under way or waiting for its next attempt, and returns all of them.
    pub async fn settled(&self) -> Vec<Delivery> {
        self.shared.wait_for(state::State::settled).await
    }

    /// A customer writes: opens the window and posts the webhook. Returns the id of the message.
    ///
    /// # Errors
    ///
    /// When the number is unknown or the message names no sender.
    pub fn inbound(&self, phone_number_id: &str, inbound: &Inbound) -> Result<String, Refused> {
        let posting = self
            .shared
            .update(|state| state.inbound(phone_number_id, inbound))?;
        tokio::spawn(poster::post_in_order(Arc::clone(&self.shared), posting));
        Ok(inbound.id.clone())
    }

    /// Posts one webhook per step, in this order, about a message that was accepted earlier.
    ///
    /// # Errors
    ///
    /// When no accepted message has this id.
    pub fn report(&self, wamid: &str, steps: &[StatusStep]) -> Result<(), Refused> {
        let posting = self.shared.update(|state| state.report(wamid, steps))?;
        tokio::spawn(poster::post_in_order(Arc::clone(&self.shared), posting));
        Ok(())
    }

    /// A signed webhook for one step of an accepted message, not posted.
    ///
    /// # Errors
    ///
    /// When no accepted message has this id.
    pub fn signed_status(&self, wamid: &str, step: &StatusStep) -> Result<SignedWebhook, Refused> {
        let (number, report) = self.shared.read(|state| state.status_report(wamid, step))?;
        Ok(self.builder().status(&number, &report).build())
    }

    /// A signed webhook for an inbound message, not posted.
    ///
    /// # Errors
    ///
    /// When the number is unknown.
    pub fn signed_inbound(
        &self,
        phone_number_id: &str,
        inbound: &Inbound,
    ) -> Result<SignedWebhook, Refused> {
        let number = self
            .shared
            .read(|state| state.number(phone_number_id).cloned())?;
        Ok(self.builder().message(&number, inbound).build())
    }

    /// Builds payloads that span several messages, numbers, changes and entries, signed with our app secret.
    #[must_use]
    pub fn builder(&self) -> WebhookBuilder {
        WebhookBuilder::new(self.shared.app_secret())
    }

    /// Forgets calls, webhooks, scripts, windows, and all of onboarding and AWS; numbers that were registered here stay.
    pub fn reset(&self) {
        self.shared.update(state::State::reset);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
