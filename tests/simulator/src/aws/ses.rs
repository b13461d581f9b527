//! SES (API v2): identities whose records a test finds or does not find, configuration sets, tenants, and sends.

use super::{Answered, AwsCall, AwsError, AwsScript, HOME};
use crate::Refused;
use crate::state::unique;
use axum::http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What SES finds out about a domain. Words are SES's own (`SUCCESS`, `FAILED`, `TEMPORARY_FAILURE`, `PENDING`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainState {
    pub domain: String,
    /// Of DKIM, and so of the domain.
    #[serde(default)]
    pub dkim: Option<String>,
    #[serde(default)]
    pub mail_from: Option<String>,
    /// Such as `HOST_NOT_FOUND`.
    #[serde(default)]
    pub error: Option<String>,
}

/// An email that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentEmail {
    pub message_id: String,
    pub from: String,
    pub to: Vec<String>,
    pub configuration_set: Option<String>,
    pub tenant: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Ses {
    identities: BTreeMap<String, Identity>,
    /// Configuration sets and their event destinations.
    sets: BTreeMap<String, BTreeMap<String, Value>>,
    tenants: BTreeMap<String, Tenant>,
    pub(crate) without_tenants: bool,
    /// Of SMS too.
    pub(crate) scripts: Vec<AwsScript>,
    pub(crate) calls: Vec<AwsCall>,
    pub(crate) emails: Vec<SentEmail>,
}

#[derive(Debug)]
struct Identity {
    tokens: [String; 3],
    dkim: String,
    error: Option<String>,
    mail_from: Option<(String, String)>,
    set: Option<String>,
    tags: Value,
}

#[derive(Debug)]
struct Tenant {
    arn: String,
    /// `ENABLED`, `DISABLED` or `REINSTATED`.
    sending: String,
    resources: BTreeSet<String>,
}

/// Which operation a path is; the ones that nobody here calls are `Unknown`.
pub(super) fn operation(method: &Method, segments: &[&str]) -> &'static str {
    match (method.as_str(), segments) {
        ("POST", ["identities"]) => "CreateEmailIdentity",
        ("GET", ["identities", _]) => "GetEmailIdentity",
        ("DELETE", ["identities", _]) => "DeleteEmailIdentity",
        ("PUT", ["identities", _, "mail-from"]) => "PutEmailIdentityMailFromAttributes",
        ("PUT", ["identities", _, "dkim", "signing"]) => "PutEmailIdentityDkimSigningAttributes",
        ("POST", ["configuration-sets"]) => "CreateConfigurationSet",
        ("DELETE", ["configuration-sets", _]) => "DeleteConfigurationSet",
        ("POST", ["configuration-sets", _, "event-destinations"]) => {
            "CreateConfigurationSetEventDestination"
        }
        ("PUT", ["configuration-sets", _, "event-destinations", _]) => {
            "UpdateConfigurationSetEventDestination"
        }
        ("POST", ["tenants"]) => "CreateTenant",
        ("POST", ["tenants", "get"]) => "GetTenant",
        ("POST", ["tenants", "delete"]) => "DeleteTenant",
        ("POST", ["tenants", "resources"]) => "CreateTenantResourceAssociation",
        ("POST", ["tenants", "resources", "delete"]) => "DeleteTenantResourceAssociation",
        ("POST", ["outbound-emails"]) => "SendEmail",
        _ => "Unknown",
    }
}

impl Ses {
    /// The refusal of the first script that fits, used up by one.
    pub(super) fn scripted(&mut self, operation: &str) -> Option<AwsError> {
        let at = self
            .scripts
            .iter()
            .position(|script| script.operation == operation)?;
        let taken = self.scripts[at].clone();
        if taken.times > 1 {
            self.scripts[at].times -= 1;
        } else {
            self.scripts.remove(at);
        }
        Some(AwsError::new(
            taken.http_status,
            &taken.code,
            &taken.message,
        ))
    }

    pub(super) fn keep(&mut self, operation: &str, body: Value, outcome: &Answered) {
        self.calls.push(AwsCall {
            operation: operation.to_owned(),
            body,
            code: outcome.as_ref().err().map(|error| error.code.clone()),
        });
    }

    pub(crate) fn move_domain(&mut self, state: DomainState) -> Result<(), Refused> {
        let identity = self.identities.get_mut(&state.domain);
        let identity =
            identity.ok_or_else(|| Refused("domain: SES has no such identity".to_owned()))?;
        if let Some(dkim) = state.dkim {
            identity.dkim = dkim;
            identity.error = state.error;
        }
        if let (Some(status), Some((_, known))) = (state.mail_from, &mut identity.mail_from) {
            *known = status;
        }
        Ok(())
    }

    /// The reputation of a tenant pauses it, or no longer does.
    pub(crate) fn judge(&mut self, tenant: &str, status: &str) -> Result<(), Refused> {
        let known = self.tenants.get_mut(tenant);
        let known = known.ok_or_else(|| Refused("tenant: SES has no such tenant".to_owned()))?;
        status.clone_into(&mut known.sending);
        Ok(())
    }

    pub(super) fn perform(&mut self, operation: &str, segments: &[&str], body: &Value) -> Answered {
        let named = segments.get(1).copied().unwrap_or_default();
        match operation {
            "CreateEmailIdentity" => self.create_identity(body),
            "GetEmailIdentity" => Ok(self.identity(named)?.described()),
            "DeleteEmailIdentity" => self.delete_identity(named),
            "PutEmailIdentityMailFromAttributes" => {
                let domain =
                    text(body, "MailFromDomain").map(|domain| (domain, "PENDING".to_owned()));
                self.identity(named)?.mail_from = domain;
                Ok(json!({}))
            }
            "PutEmailIdentityDkimSigningAttributes" => {
                "PENDING".clone_into(&mut self.identity(named)?.dkim);
                Ok(json!({}))
            }
            "CreateConfigurationSet" => self.create_set(body),
            "DeleteConfigurationSet" => {
                self.unowned("configuration-set", named)?;
                let gone = self.sets.remove(named).map(|_| json!({}));
                gone.ok_or_else(|| missing("Configuration set", named))
            }
            "CreateConfigurationSetEventDestination" => self.create_destination(named, body),
            "UpdateConfigurationSetEventDestination" => {
                let destination = segments.get(3).copied().unwrap_or_default();
                let known = self.set(named)?.get_mut(destination);
                *known.ok_or_else(|| missing("Event destination", destination))? =
                    body["EventDestination"].clone();
                Ok(json!({}))
            }
            "SendEmail" => self.send(body),
            "Unknown" => Err(AwsError::new(404, "UnknownOperationException", "")),
            _ if self.without_tenants => Err(AwsError::new(404, "UnknownOperationException", "")),
            _ => self.about_tenants(operation, body),
        }
    }

    fn create_identity(&mut self, body: &Value) -> Answered {
        let domain = required(body, "EmailIdentity")?;
        if self.identities.contains_key(&domain) {
            return Err(exists(&domain));
        }
        if let Some(set) = text(body, "ConfigurationSetName") {
            self.set(&set)?;
        }
        let token = |number: u8| format!("{number}{}", hex::encode(domain.as_bytes()));
        let identity = Identity {
            tokens: [1, 2, 3].map(token),
            dkim: "PENDING".to_owned(),
            error: None,
            mail_from: None,
            set: text(body, "ConfigurationSetName"),
            tags: body.get("Tags").cloned().unwrap_or_else(|| json!([])),
        };
        let described = identity.described();
        self.identities.insert(domain, identity);
        Ok(described)
    }

    fn identity(&mut self, domain: &str) -> Result<&mut Identity, AwsError> {
        let identity = self.identities.get_mut(domain);
        identity.ok_or_else(|| missing("Email identity", domain))
    }

    fn delete_identity(&mut self, domain: &str) -> Answered {
        self.unowned("identity", domain)?;
        let gone = self.identities.remove(domain).map(|_| json!({}));
        gone.ok_or_else(|| missing("Email identity", domain))
    }

    fn create_set(&mut self, body: &Value) -> Answered {
        let name = required(body, "ConfigurationSetName")?;
        if self.sets.contains_key(&name) {
            return Err(exists(&name));
        }
        self.sets.insert(name, BTreeMap::new());
        Ok(json!({}))
    }

    fn set(&mut self, name: &str) -> Result<&mut BTreeMap<String, Value>, AwsError> {
        let set = self.sets.get_mut(name);
        set.ok_or_else(|| missing("Configuration set", name))
    }

    fn create_destination(&mut self, set: &str, body: &Value) -> Answered {
        let name = required(body, "EventDestinationName")?;
        let definition = &body["EventDestination"];
        if definition["SnsDestination"]["TopicArn"].as_str().is_none() {
            return Err(AwsError::new(400, "BadRequestException", "No destination."));
        }
        let destinations = self.set(set)?;
        if destinations.contains_key(&name) {
            return Err(exists(&name));
        }
        destinations.insert(name, definition.clone());
        Ok(json!({}))
    }

    fn about_tenants(&mut self, operation: &str, body: &Value) -> Answered {
        let name = required(body, "TenantName")?;
        if operation == "CreateTenant" {
            if self.tenants.contains_key(&name) {
                return Err(exists(&name));
            }
            let tenant = Tenant {
                arn: format!("arn:aws:ses:{HOME}:tenant/{name}/tn-{}", self.tenants.len()),
                sending: "ENABLED".to_owned(),
                resources: BTreeSet::new(),
            };
            let described = tenant.described(&name);
            self.tenants.insert(name, tenant);
            return Ok(described);
        }
        let resource = text(body, "ResourceArn").unwrap_or_default();
        let is_there = self.has(&resource);
        let tenant = self
            .tenants
            .get_mut(&name)
            .ok_or_else(|| missing("Tenant", &name))?;
        match operation {
            "GetTenant" => Ok(json!({ "Tenant": tenant.described(&name) })),
            "CreateTenantResourceAssociation" if !is_there => Err(missing("Resource", &resource)),
            "CreateTenantResourceAssociation" => {
                let is_new = tenant.resources.insert(resource.clone());
                if is_new {
                    Ok(json!({}))
                } else {
                    Err(exists(&resource))
                }
            }
            "DeleteTenantResourceAssociation" => {
                tenant.resources.remove(&resource);
                Ok(json!({}))
            }
            _ => {
                self.tenants.remove(&name);
                Ok(json!({}))
            }
        }
    }

    /// Whether an ARN is of something that is here.
    fn has(&self, arn: &str) -> bool {
        let resource = arn.strip_prefix(&format!("arn:aws:ses:{HOME}:"));
        match resource.and_then(|resource| resource.split_once('/')) {
            Some(("identity", domain)) => self.identities.contains_key(domain),
            Some(("configuration-set", name)) => self.sets.contains_key(name),
            _ => false,
        }
    }

    /// What belongs to a tenant cannot be deleted.
    fn unowned(&self, kind: &str, name: &str) -> Result<(), AwsError> {
        let arn = format!("arn:aws:ses:{HOME}:{kind}/{name}");
        if self
            .tenants
            .values()
            .any(|tenant| tenant.resources.contains(&arn))
        {
            let message = "It has tenant associations.";
            return Err(AwsError::new(400, "BadRequestException", message));
        }
        Ok(())
    }

    /// Takes what comes from a verified domain; with a tenant also only what belongs to it.
    fn send(&mut self, body: &Value) -> Answered {
        let from = required(body, "FromEmailAddress")?;
        let domain = from
            .trim_end_matches('>')
            .rsplit('@')
            .next()
            .unwrap_or_default();
        let verified = self
            .identities
            .get(domain)
            .is_some_and(Identity::is_verified);
        if !verified {
            let message = format!("Email address is not verified. {from}");
            return Err(AwsError::new(400, "MessageRejected", &message));
        }
        let (set, tenant) = (text(body, "ConfigurationSetName"), text(body, "TenantName"));
        if let Some(name) = &tenant {
            let set = set.as_deref().unwrap_or_default();
            let known = self
                .tenants
                .get(name)
                .ok_or_else(|| missing("Tenant", name))?;
            if known.sending == "DISABLED" {
                let message = "The tenant is paused.";
                return Err(AwsError::new(400, "SendingPausedException", message));
            }
            let owns = |kind: &str, name: &str| {
                let arn = format!("arn:aws:ses:{HOME}:{kind}/{name}");
                known.resources.contains(&arn)
            };
            if !owns("identity", domain) || !owns("configuration-set", set) {
                return Err(AwsError::new(
                    403,
                    "AccessDeniedException",
                    "Not the tenant's.",
                ));
            }
        }
        let to = body["Destination"]["ToAddresses"]
            .as_array()
            .into_iter()
            .flatten();
        let message_id = format!("0100{}-simulated", unique());
        self.emails.push(SentEmail {
            message_id: message_id.clone(),
            from,
            to: to.filter_map(|to| to.as_str().map(str::to_owned)).collect(),
            configuration_set: set,
            tenant,
        });
        Ok(json!({ "MessageId": message_id }))
    }
}

impl Identity {
    fn is_verified(&self) -> bool {
        self.dkim == "SUCCESS"
    }

    fn described(&self) -> Value {
        let mut described = json!({
            "IdentityType": "DOMAIN",
            "VerifiedForSendingStatus": self.is_verified(),
            "VerificationStatus": self.dkim,
            "FeedbackForwardingStatus": true,
            "DkimAttributes": {
                "SigningEnabled": true,
                "Status": self.dkim,
                "Tokens": self.tokens,
                "SigningHostedZone": "dkim.amazonses.com",
                "SigningAttributesOrigin": "AWS_SES",
            },
            "Tags": self.tags,
        });
        if let Some((domain, status)) = &self.mail_from {
            described["MailFromAttributes"] = json!({ "MailFromDomain": domain,
                "MailFromDomainStatus": status, "BehaviorOnMxFailure": "USE_DEFAULT_VALUE" });
        }
        if let Some(error) = &self.error {
            described["VerificationInfo"] = json!({ "ErrorType": error });
        }
        if let Some(set) = &self.set {
            described["ConfigurationSetName"] = json!(set);
        }
        described
    }
}

impl Tenant {
    fn described(&self, name: &str) -> Value {
        json!({ "TenantName": name, "TenantId": "tn", "TenantArn": self.arn, "SendingStatus": self.sending })
    }
}

fn text(body: &Value, name: &str) -> Option<String> {
    body[name]
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

fn required(body: &Value, name: &str) -> Result<String, AwsError> {
    let message = format!("{name} is required");
    text(body, name).ok_or_else(|| AwsError::new(400, "BadRequestException", &message))
}

fn exists(name: &str) -> AwsError {
    AwsError::new(
        400,
        "AlreadyExistsException",
        &format!("{name} already exists."),
    )
}

fn missing(kind: &str, name: &str) -> AwsError {
    AwsError::new(
        404,
        "NotFoundException",
        &format!("{kind} <{name}> does not exist."),
    )
}
