//! Posts webhooks as Meta does: signed, and again and again until somebody answers 200.

use crate::number::is_on_this_machine;
use crate::record::{Attempt, DeliveryState};
use crate::state::{Shared, now_ms};
use crate::webhook::SignedWebhook;
use std::sync::Arc;

const ATTEMPTS: u32 = 8;

/// Deliveries that have been written down and are to be posted.
#[derive(Debug, Default)]
pub(crate) struct Posting {
    /// `None`: they are held.
    pub(crate) callback_url: Option<String>,
    pub(crate) deliveries: Vec<(u64, SignedWebhook)>,
}

/// Tries each once, in order. What failed is tried again on its own, so it may arrive after its successors, as at
/// Meta.
pub(crate) async fn post_in_order(shared: Arc<Shared>, posting: Posting) {
    let Some(url) = posting.callback_url else {
        return;
    };
    for (id, webhook) in posting.deliveries {
        if !attempt(&shared, &url, id, &webhook, 1).await {
            tokio::spawn(try_again(Arc::clone(&shared), url.clone(), id, webhook));
        }
    }
}

async fn try_again(shared: Arc<Shared>, url: String, id: u64, webhook: SignedWebhook) {
    let mut delay = shared.retry_base();
    for number in 2..=ATTEMPTS {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shared.stopped() => return,
        }
        if attempt(&shared, &url, id, &webhook, number).await {
            return;
        }
        delay *= 2;
    }
}

/// Whether it was answered with 200.
async fn attempt(
    shared: &Shared,
    url: &str,
    id: u64,
    webhook: &SignedWebhook,
    number: u32,
) -> bool {
    let at_ms = now_ms();
    let http_status = if is_on_this_machine(url) {
        post(shared, url, webhook).await.ok()
    } else {
        None
    };
    let state = match (http_status, number) {
        (Some(200), _) => DeliveryState::Delivered,
        (_, ATTEMPTS) => DeliveryState::Failed,
        _ => DeliveryState::Pending,
    };
    shared.update(|known| known.record_attempt(id, Attempt { at_ms, http_status }, state));
    state == DeliveryState::Delivered
}

async fn post(shared: &Shared, url: &str, webhook: &SignedWebhook) -> reqwest::Result<u16> {
    let request = shared
        .http
        .post(url)
        .header("content-type", "application/json")
        .header("x-hub-signature-256", &webhook.signature)
        .body(webhook.body.clone());
    Ok(request.send().await?.status().as_u16())
}
