//! What a test does to business accounts, to SES and to SMS.

use crate::business::{GraphCall, GraphScript, Review, Signup, Waba};
use crate::{
    AwsCall, AwsScript, DomainState, Refused, SentEmail, SentText, Simulator, SmsSender, poster,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

impl Simulator {
    /// Where Meta posts what is about accounts, and the messages of accounts without an override; held without one.
    ///
    /// # Errors
    ///
    /// When it is not on this machine.
    pub fn app_callback(&self, url: &str) -> Result<(), Refused> {
        self.shared.update(|state| state.set_app_callback(url))
    }

    /// Refuses calls of onboarding without the proof of the app's secret (104); a wrong proof is always refused.
    pub fn want_proof(&self) {
        self.shared
            .update(|state| state.businesses.wants_proof = true);
    }

    /// Plants a business account, or replaces it; its numbers can be sent from once they are registered.
    ///
    /// # Errors
    ///
    /// When one of its numbers is in another account.
    pub fn plant(&self, waba: Waba) -> Result<(), Refused> {
        self.shared.update(|state| state.plant(waba))
    }

    /// Somebody went through Embedded Signup; the code lives for 30 seconds and is good once.
    ///
    /// # Errors
    ///
    /// When an account is unknown.
    pub fn sign_up(&self, signup: Signup) -> Result<String, Refused> {
        self.shared.update(|state| state.businesses.sign_up(signup))
    }

    /// Lets time pass for codes, tokens and the limits of onboarding; messages keep to the real clock.
    pub fn pass(&self, time: Duration) {
        self.shared.update(|state| state.businesses.pass(time));
    }

    /// From now on the token is refused (190), for sends too.
    pub fn revoke(&self, token: &str) {
        self.shared.update(|state| state.revoke(token));
    }

    /// As [`Self::revoke`], for all that signups gave for an account. How many there were.
    #[must_use]
    pub fn revoke_all(&self, waba_id: &str) -> usize {
        self.shared.update(|state| state.revoke_all(waba_id))
    }

    /// Every code, token and verify token that was given.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.shared.read(|state| state.businesses.secrets())
    }

    /// Queues a script for calls of onboarding.
    pub fn script_graph(&self, script: GraphScript) {
        self.shared
            .update(|state| state.businesses.scripts.push(script));
    }

    /// Every call of onboarding so far, in order.
    #[must_use]
    pub fn graph_calls(&self) -> Vec<GraphCall> {
        self.shared.read(|state| state.businesses.calls.clone())
    }

    /// Meta decides about a template, and says so by webhook.
    ///
    /// # Errors
    ///
    /// When there is no such template.
    pub fn review(&self, review: &Review) -> Result<(), Refused> {
        let posting = self.shared.update(|state| state.review(review))?;
        tokio::spawn(poster::post_in_order(Arc::clone(&self.shared), posting));
        Ok(())
    }

    /// Posts any change about an account to the app's callback, if our app gets its webhooks.
    pub fn announce(&self, waba_id: &str, field: &str, value: Value) {
        let news = [(field, value)];
        let posting = self.shared.update(|state| state.announce(waba_id, &news));
        tokio::spawn(poster::post_in_order(Arc::clone(&self.shared), posting));
    }

    /// What SES finds out about a domain from now on.
    ///
    /// # Errors
    ///
    /// When SES has no such identity.
    pub fn move_domain(&self, state: DomainState) -> Result<(), Refused> {
        self.shared.update(|known| known.ses.move_domain(state))
    }

    /// What SES thinks of a tenant: `ENABLED`, `DISABLED` or `REINSTATED`.
    ///
    /// # Errors
    ///
    /// When SES has no such tenant.
    pub fn judge(&self, tenant: &str, status: &str) -> Result<(), Refused> {
        self.shared.update(|known| known.ses.judge(tenant, status))
    }

    /// Every text message that was taken, in order.
    #[must_use]
    pub fn texts(&self) -> Vec<SentText> {
        self.shared.read(|state| state.sms.texts.clone())
    }

    /// Whether the AWS account has SES tenants; it has, until told otherwise.
    pub fn ses_tenants(&self, has_them: bool) {
        self.shared
            .update(|state| state.ses.without_tenants = !has_them);
    }

    /// The AWS account leases a sender from now on.
    pub fn lease(&self, sender: SmsSender) {
        self.shared.update(|state| state.sms.senders.push(sender));
    }

    /// The words that take people off a number's opt-out list.
    #[must_use]
    pub fn opt_in_words(&self, phone_number_id: &str) -> Vec<String> {
        self.shared.read(|state| {
            let words = state.sms.opt_in_words.iter();
            let of_it = words.filter(|(number, _)| number == phone_number_id);
            of_it.map(|(_, word)| word.clone()).collect()
        })
    }

    /// The topic that is told what is written to a number; `None` where nobody set it up here.
    #[must_use]
    pub fn hears_at(&self, phone_number_id: &str) -> Option<String> {
        self.shared
            .read(|state| state.sms.hears.get(phone_number_id).cloned())
    }

    /// Whether a number is of a country without two-way; it is not, until told otherwise.
    pub fn deaf(&self, phone_number_id: &str, is_deaf: bool) {
        self.shared.update(|state| {
            state.sms.deaf.remove(phone_number_id);
            let deaf = is_deaf.then(|| phone_number_id.to_owned());
            state.sms.deaf.extend(deaf);
        });
    }

    /// The topics that are told every event of the texts of a configuration set.
    #[must_use]
    pub fn text_events(&self, configuration_set: &str) -> Vec<String> {
        self.shared
            .read(|state| state.sms.text_events(configuration_set))
    }

    /// Somebody switches the destinations of a configuration set off by hand.
    pub fn silence(&self, configuration_set: &str) {
        self.shared
            .update(|state| state.sms.silence(configuration_set));
    }

    /// Queues a script for calls of AWS.
    pub fn script_aws(&self, script: AwsScript) {
        self.shared.update(|state| state.ses.scripts.push(script));
    }

    /// Every call of AWS so far, in order.
    #[must_use]
    pub fn aws_calls(&self) -> Vec<AwsCall> {
        self.shared.read(|state| state.ses.calls.clone())
    }

    /// Every email that SES took, in order.
    #[must_use]
    pub fn emails(&self) -> Vec<SentEmail> {
        self.shared.read(|state| state.ses.emails.clone())
    }
}
