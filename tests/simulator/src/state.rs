//! Everything the simulator knows, behind one lock, and a way to wait for it to change.

use crate::aws::{Ses, Sms};
use crate::business::Businesses;
use crate::media::Files;
use crate::number::PairRate;
use crate::poster::Posting;
use crate::record::{Attempt, Call, Delivery, DeliveryState, Receipt};
use crate::webhook::{Inbound, SignedWebhook, StatusReport, WebhookBuilder};
use crate::{Number, Refused, Script, SimulatorConfig, StatusStep};
use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

const WINDOW: u64 = 24 * 60 * 60 * 1000;

/// A business number and somebody it talks to.
type Pair = (String, String);

/// What handlers, deliveries and the handle of the simulator have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    config: SimulatorConfig,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    pub(crate) http: reqwest::Client,
}

/// What has been registered, and what has happened.
#[derive(Debug)]
pub(crate) struct State {
    app_id: String,
    app_secret: String,
    numbers: HashMap<String, Number>,
    pub(crate) scripts: Vec<Script>,
    pub(crate) calls: Vec<Call>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) deliveries: Vec<Delivery>,
    next_delivery: u64,
    /// When somebody last wrote to a number, in milliseconds since 1970.
    last_written: HashMap<Pair, u64>,
    /// When each message of a pair was accepted, in milliseconds since 1970.
    accepted: HashMap<Pair, Vec<u64>>,
    pub(crate) media: Files,
    pub(crate) businesses: Businesses,
    pub(crate) ses: Ses,
    pub(crate) sms: Sms,
    next_template: u64,
}

impl Shared {
    pub(crate) fn new(config: SimulatorConfig) -> io::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(10))
            .user_agent("facebookexternalua")
            .build()
            .map_err(io::Error::other)?;
        let state = Mutex::new(State::new(&config.app_id, &config.app_secret));
        Ok(Self {
            config,
            state,
            changed: watch::Sender::new(0),
            stop: watch::Sender::new(false),
            http,
        })
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|version| *version += 1);
        result
    }

    /// Looks after every change until there is something to return.
    pub(crate) async fn wait_for<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = self.read(&look) {
                return found;
            }
            // The sender lives in `self`, so it cannot be gone.
            drop(changed.changed().await);
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) async fn stopped(&self) {
        drop(self.stop.subscribe().wait_for(|stop| *stop).await);
    }

    pub(crate) fn app_secret(&self) -> &str {
        &self.config.app_secret
    }

    pub(crate) fn retry_base(&self) -> Duration {
        self.config.retry_base
    }
}

impl State {
    fn new(app_id: &str, app_secret: &str) -> Self {
        Self {
            app_id: app_id.to_owned(),
            app_secret: app_secret.to_owned(),
            numbers: HashMap::new(),
            scripts: Vec::new(),
            calls: Vec::new(),
            receipts: Vec::new(),
            deliveries: Vec::new(),
            next_delivery: 1,
            last_written: HashMap::new(),
            accepted: HashMap::new(),
            media: Files::default(),
            businesses: Businesses::default(),
            ses: Ses::default(),
            sms: Sms::default(),
            next_template: 1,
        }
    }

    pub(crate) fn register(&mut self, number: Number) {
        self.numbers.insert(number.phone_number_id.clone(), number);
    }

    pub(crate) fn number(&self, phone_number_id: &str) -> Result<&Number, Refused> {
        let unknown = || {
            Refused(format!(
                "phone_number_id: {phone_number_id:?} is not registered"
            ))
        };
        self.numbers.get(phone_number_id).ok_or_else(unknown)
    }

    pub(crate) fn change_number(&mut self, id: &str, change: impl FnOnce(&mut Number)) {
        if let Some(number) = self.numbers.get_mut(id) {
            change(number);
        }
    }

    pub(crate) fn app_id(&self) -> &str {
        &self.app_id
    }

    pub(crate) fn app_secret(&self) -> &str {
        &self.app_secret
    }

    /// Goes on over resets, as the ids of deliveries do.
    pub(crate) fn new_template_id(&mut self) -> u64 {
        self.next_template += 1;
        881_000_000_000_000 + self.next_template
    }

    /// The numbers that came with business accounts go with them. The ids of deliveries go on, so that an attempt from before is not mistaken for one from after.
    pub(crate) fn reset(&mut self) {
        let (mut numbers, next_delivery) = (std::mem::take(&mut self.numbers), self.next_delivery);
        numbers.retain(|id, _| !self.businesses.is_planted(id));
        *self = Self {
            numbers,
            next_delivery,
            next_template: self.next_template,
            ..Self::new(&self.app_id, &self.app_secret)
        };
    }

    /// The first script that fits, used up by one; the usual course where none does.
    pub(crate) fn take_script(
        &mut self,
        phone_number_id: &str,
        recipient: &str,
        call: &Call,
    ) -> Script {
        let fits =
            |script: &Script| script.fits(phone_number_id, recipient, call.correlation.as_deref());
        let Some(script) = self
            .scripts
            .iter_mut()
            .find(|script| script.times > 0 && fits(script))
        else {
            return Script::default();
        };
        script.times -= 1;
        let taken = script.clone();
        self.scripts.retain(|script| script.times > 0);
        taken
    }

    pub(crate) fn window_is_open(&self, phone_number_id: &str, recipient: &str, now: u64) -> bool {
        let pair = (phone_number_id.to_owned(), recipient.to_owned());
        self.last_written
            .get(&pair)
            .is_some_and(|at| now.saturating_sub(*at) < WINDOW)
    }

    pub(crate) fn pair_is_free(
        &self,
        phone_number_id: &str,
        recipient: &str,
        rate: PairRate,
        now: u64,
    ) -> bool {
        let pair = (phone_number_id.to_owned(), recipient.to_owned());
        // The debt grows by one with each message and shrinks by one every `every_ms`.
        let mut paid_at = 0;
        for &at in self.accepted.get(&pair).into_iter().flatten() {
            paid_at = at.max(paid_at) + rate.every_ms;
        }
        paid_at.saturating_sub(now) <= u64::from(rate.burst.saturating_sub(1)) * rate.every_ms
    }

    pub(crate) fn count_pair(&mut self, phone_number_id: &str, recipient: &str, now: u64) {
        let pair = (phone_number_id.to_owned(), recipient.to_owned());
        self.accepted.entry(pair).or_default().push(now);
    }

    /// Reserves the statuses of a message that has just been accepted.
    pub(crate) fn after_acceptance(
        &mut self,
        call: &Call,
        steps: Option<Vec<StatusStep>>,
    ) -> Posting {
        let Ok(number) = self.number(&call.phone_number_id).cloned() else {
            return Posting::default();
        };
        let steps = steps.unwrap_or_else(|| number.auto_statuses.clone());
        let webhooks = steps
            .iter()
            .map(|step| self.status_webhook(&number, &status_report(call, step)))
            .collect();
        self.reserve(&number, webhooks)
    }

    /// Reserves more statuses of a message that was accepted earlier.
    pub(crate) fn report(&mut self, wamid: &str, steps: &[StatusStep]) -> Result<Posting, Refused> {
        let mut webhooks = Vec::new();
        let mut sender = None;
        for step in steps {
            let (number, report) = self.status_report(wamid, step)?;
            webhooks.push(self.status_webhook(&number, &report));
            sender = Some(number);
        }
        Ok(sender
            .map(|number| self.reserve(&number, webhooks))
            .unwrap_or_default())
    }

    pub(crate) fn status_report(
        &self,
        wamid: &str,
        step: &StatusStep,
    ) -> Result<(Number, StatusReport), Refused> {
        let call = self
            .calls
            .iter()
            .find(|call| call.accepted && call.wamid.as_deref() == Some(wamid));
        let call =
            call.ok_or_else(|| Refused(format!("wamid: no accepted message is {wamid:?}")))?;
        Ok((
            self.number(&call.phone_number_id)?.clone(),
            status_report(call, step),
        ))
    }

    /// Opens the window and reserves the webhook.
    pub(crate) fn inbound(
        &mut self,
        phone_number_id: &str,
        inbound: &Inbound,
    ) -> Result<Posting, Refused> {
        let number = self.number(phone_number_id)?.clone();
        let writers: Vec<_> = [&inbound.from, &inbound.user_id]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        if writers.is_empty() {
            return Err(Refused(
                "from: one of from and user_id is required".to_owned(),
            ));
        }
        let written_at = u64::try_from(inbound.timestamp).unwrap_or_default() * 1000;
        for writer in writers {
            let last = self
                .last_written
                .entry((phone_number_id.to_owned(), writer))
                .or_default();
            *last = written_at.max(*last);
        }
        let webhook = WebhookBuilder::new(&self.app_secret)
            .message(&number, inbound)
            .build();
        Ok(self.reserve(&number, vec![webhook]))
    }

    fn status_webhook(&self, number: &Number, report: &StatusReport) -> SignedWebhook {
        WebhookBuilder::new(&self.app_secret)
            .status(number, report)
            .build()
    }

    /// Writes the deliveries down before the first is tried, so that `settled` cannot overlook one.
    fn reserve(&mut self, number: &Number, webhooks: Vec<SignedWebhook>) -> Posting {
        let callback_url = number.callback_url.clone();
        self.reserve_for(&number.phone_number_id, callback_url, webhooks)
    }

    /// As [`Self::reserve`], about a number or an account.
    pub(crate) fn reserve_for(
        &mut self,
        about: &str,
        callback_url: Option<String>,
        webhooks: Vec<SignedWebhook>,
    ) -> Posting {
        let state = match callback_url {
            Some(_) => DeliveryState::Pending,
            None => DeliveryState::Held,
        };
        let mut posting = Posting {
            callback_url,
            deliveries: Vec::new(),
        };
        for webhook in webhooks {
            let id = self.next_delivery;
            self.next_delivery += 1;
            self.deliveries.push(Delivery {
                id,
                phone_number_id: about.to_owned(),
                state,
                attempts: Vec::new(),
                payload: serde_json::from_slice(&webhook.body).unwrap_or_default(),
                webhook: webhook.clone(),
            });
            posting.deliveries.push((id, webhook));
        }
        posting
    }

    pub(crate) fn record_attempt(&mut self, id: u64, attempt: Attempt, state: DeliveryState) {
        // Gone after a reset.
        if let Some(delivery) = self
            .deliveries
            .iter_mut()
            .find(|delivery| delivery.id == id)
        {
            delivery.attempts.push(attempt);
            delivery.state = state;
        }
    }

    pub(crate) fn take_held(&mut self) -> Vec<SignedWebhook> {
        let held = self
            .deliveries
            .iter_mut()
            .filter(|delivery| delivery.state == DeliveryState::Held);
        held.map(|delivery| {
            delivery.state = DeliveryState::Taken;
            delivery.webhook.clone()
        })
        .collect()
    }

    pub(crate) fn settled(&self) -> Option<Vec<Delivery>> {
        let pending = self
            .deliveries
            .iter()
            .any(|delivery| delivery.state == DeliveryState::Pending);
        (!pending).then(|| self.deliveries.clone())
    }
}

fn status_report(call: &Call, step: &StatusStep) -> StatusReport {
    StatusReport {
        user_id: call.recipient.clone(),
        correlation: call.correlation.clone(),
        recipient: call
            .to
            .as_ref()
            .map(|to| to.trim_start_matches('+').to_owned()),
        ..StatusReport::new(call.wamid.as_deref().unwrap_or_default(), step.clone(), "")
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn new_wamid() -> String {
    format!("wamid.SIM{}", unique().to_ascii_uppercase())
}

/// Hexadecimal digits, random, because ids of an earlier run may still stand in somebody's database.
pub(crate) fn unique() -> String {
    let mut bytes = [0_u8; 12];
    // Cannot fail on the systems we run on; were it to, the id would merely repeat.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    hex::encode(bytes)
}
