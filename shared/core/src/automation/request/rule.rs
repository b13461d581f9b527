//! Who is written to, and by which rule: the request's word over the tenant's, the tenant's over the platform's.

use super::recipients::{self, RequestedRecipient};
use super::{NotificationRequest, RequestError, invalid};
use crate::automation::audience::{self, Recipient};
use crate::automation::registry::{Audience, Trigger};
use crate::automation::rules::{self, Rule, Step};
use crate::automation::subject::Facts;
use crate::model::{Category, Channel, Lane, TenantId};
use crate::platform::{Tx, hasura::ActionError};
use time::{Duration, OffsetDateTime};

/// The audience of those that a request lists, for triggers that are no others.
const LISTED: &str = "RECIPIENTS";

/// Each part of the people and its rule; none where the trigger is switched off.
pub(super) async fn addressed(
    tx: &mut Tx,
    tenant: TenantId,
    request: &NotificationRequest,
    trigger: Option<&'static Trigger>,
    facts: &Facts,
    now: OffsetDateTime,
) -> Result<Vec<(Rule, Vec<Recipient>)>, RequestError> {
    let mut parts = Vec::new();
    if let Some(listed) = &request.recipients {
        let mut people = recipients::find(tx, tenant, listed).await?;
        in_locale(&mut people, listed, request.locale.as_deref());
        let names = trigger.map_or(&[][..], |trigger| trigger.audiences);
        if let Some(rule) = rule(tx, tenant, request, names, now).await? {
            parts.push((rule, people));
        }
        return Ok(parts);
    }
    for audience in audiences(request, trigger)? {
        let Some(rule) = rule(tx, tenant, request, &[audience], now).await? else {
            continue;
        };
        let mut people = audience::of(tx, tenant, audience, facts).await?;
        in_locale(&mut people, &[], request.locale.as_deref());
        parts.push((rule, people));
    }
    Ok(parts)
}

/// What a request may call an audience, and nothing, for a schema.
pub(super) fn audience_words() -> Vec<Option<&'static str>> {
    let words = Audience::ALL.iter().map(|audience| Some(audience.as_str()));
    words.chain([None]).collect()
}

/// The named one, or the trigger's.
fn audiences(
    request: &NotificationRequest,
    trigger: Option<&'static Trigger>,
) -> Result<Vec<Audience>, ActionError> {
    let Some(name) = &request.audience else {
        let trigger = trigger.ok_or_else(|| {
            invalid(
                "recipients",
                "must be given: the trigger is none of the registry's",
            )
        })?;
        return Ok(trigger.audiences.to_vec());
    };
    Audience::ALL
        .iter()
        .copied()
        .find(|known| known.as_str() == name)
        .map(|audience| vec![audience])
        .ok_or_else(|| {
            let known: Vec<&str> = Audience::ALL.iter().map(|known| known.as_str()).collect();
            invalid("audience", format!("must be one of {}", known.join(", ")))
        })
}

fn in_locale(people: &mut [Recipient], listed: &[RequestedRecipient], locale: Option<&str>) {
    let Some(locale) = locale else { return };
    for (place, person) in people.iter_mut().enumerate() {
        if listed
            .get(place)
            .is_none_or(|listed| listed.locale.is_none())
        {
            person.locale = Some(locale.to_owned());
        }
    }
}

/// The first rule that there is for these audiences, with what the request says over it. Where there is none, the request's own
/// channels are one; switched off is off.
pub(super) async fn rule(
    tx: &mut Tx,
    tenant: TenantId,
    request: &NotificationRequest,
    audiences: &[Audience],
    now: OffsetDateTime,
) -> Result<Option<Rule>, RequestError> {
    let mut rule = None;
    let names = audiences.iter().map(|audience| audience.as_str());
    for name in names.chain([LISTED]) {
        match rules::look_up(tx, tenant, &request.trigger_event, name).await? {
            rules::Found::Rule(found) => {
                rule = Some(found);
                break;
            }
            rules::Found::SwitchedOff => return Ok(None),
            rules::Found::None => {}
        }
    }
    let mut rule = match (rule, &request.channels) {
        (Some(rule), _) => rule,
        (None, Some(_)) => plain(request.category.unwrap_or(Category::Transactional)),
        (None, None) => return Ok(None),
    };
    if let Some(channels) = &request.channels {
        rule.steps = steps(&rule, channels);
    }
    if let Some(category) = request.category {
        if category == Category::Marketing && rule.category != category {
            // An advertisement stands before no notice.
            rule.lane = Lane::Bulk;
        }
        rule.category = category;
    }
    if rule.category == Category::Otp {
        // A code is asked for and waited for.
        rule.lane = Lane::Interactive;
        rule.quiet_hours = None;
    }
    if let Some(at) = request.expires_at {
        rule.expires_after = at - request.send_at.unwrap_or(now).max(now);
        // Also of what quiet hours hold.
        rule.not_after = Some(at);
    }
    Ok(Some(rule))
}

/// A rule of nothing but its category.
fn plain(category: Category) -> Rule {
    let (lane, expires_after) = match category {
        Category::Otp => (Lane::Interactive, Duration::minutes(10)),
        Category::Marketing => (Lane::Bulk, Duration::hours(24)),
        Category::Transactional | Category::Service => (Lane::Transactional, Duration::hours(24)),
    };
    Rule {
        steps: Vec::new(),
        category,
        lane,
        expires_after,
        not_after: None,
        quiet_hours: None,
        hand_over_within: None,
    }
}

/// These channels in this order, with the rule's own waits where it has them; the first has none to wait for.
fn steps(rule: &Rule, channels: &[Channel]) -> Vec<Step> {
    let step = |(place, channel): (usize, &Channel)| {
        let known = rule.steps.iter().find(|step| step.channel == *channel);
        let waits = known.filter(|_| place > 0);
        Step {
            channel: *channel,
            not_delivered_within: waits.and_then(|step| step.not_delivered_within),
            not_read_within: waits.and_then(|step| step.not_read_within),
        }
    };
    channels.iter().enumerate().map(step).collect()
}
