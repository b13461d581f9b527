//! The workflows in `n8n/`: whole and without secrets, always; and at work in n8n itself, by `cargo xtask n8n test`.

use comms_core::automation::{Orchestrator, by_event};
use comms_core::platform::config::Secret;
use comms_providers::http::client;
use comms_providers::orchestrator::OrchestratorClient;
use comms_tests::calls;
use comms_tests::seed::{Traveller, Trip, iberia};
use comms_tests::stack::{Stack, setting};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

const N8N: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../n8n");

fn json_of(path: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{N8N}/{path}")).unwrap()).unwrap()
}

fn workflows() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(format!("{N8N}/workflows")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names
        .map(|name| (name.clone(), json_of(&format!("workflows/{name}"))))
        .collect()
}

fn items(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

#[test]
fn every_workflow_is_whole() {
    let credentials = json_of("credentials.template.json");
    let known: BTreeSet<&str> = items(&credentials)
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    let (mut ids, mut hooks) = (BTreeSet::new(), BTreeSet::new());
    let all = workflows();
    assert_eq!(all.len(), 4);
    for (file, workflow) in &all {
        let id = workflow["id"].as_str().unwrap();
        assert!(ids.insert(id), "{file}: {id} twice");
        assert_eq!(
            workflow["active"], false,
            "{file}: publishing is the deployment's"
        );
        let names: BTreeSet<&str> = items(&workflow["nodes"])
            .iter()
            .map(|node| node["name"].as_str().unwrap())
            .collect();
        for (from, to) in workflow["connections"].as_object().unwrap() {
            assert!(names.contains(from.as_str()), "{file}: {from}");
            for link in items(&to["main"]).iter().flat_map(items) {
                assert!(
                    names.contains(link["node"].as_str().unwrap()),
                    "{file}: {link}"
                );
            }
        }
        for node in items(&workflow["nodes"]) {
            for credential in node["credentials"]
                .as_object()
                .into_iter()
                .flat_map(|all| all.values())
            {
                assert!(
                    known.contains(credential["id"].as_str().unwrap()),
                    "{file}: {credential}"
                );
            }
            if node["type"] == "n8n-nodes-base.webhook" {
                let path = node["parameters"]["path"].as_str().unwrap();
                let event = path.strip_prefix("communications/").unwrap().to_uppercase();
                assert!(by_event(&event).is_some(), "{file}: {path} is no trigger's");
                assert_eq!(node["parameters"]["authentication"], "headerAuth", "{file}");
                assert!(hooks.insert(node["webhookId"].as_str().unwrap()), "{file}");
            }
            // The API, and nothing else: no table, no shell, no other host.
            let allowed = ["webhook", "httpRequest", "wait", "code", "errorTrigger"];
            let kind = node["type"]
                .as_str()
                .unwrap()
                .strip_prefix("n8n-nodes-base.")
                .unwrap();
            assert!(allowed.contains(&kind), "{file}: {kind}");
            if kind == "httpRequest" {
                let url = node["parameters"]["url"].as_str().unwrap();
                assert!(
                    url.starts_with("={{ $env.COMMS_API_BASE_URL }}/api/notifications"),
                    "{file}: {url}"
                );
            }
        }
        if file != "errors.json" {
            assert_eq!(
                workflow["settings"]["errorWorkflow"], "commsErrorsWf001",
                "{file}"
            );
        }
    }
}

/// Whatever a workflow asks for is a part of the run that it was given, so that nobody hears of it twice.
#[test]
fn no_workflow_asks_for_what_is_no_part_of_its_run() {
    for (file, workflow) in workflows() {
        let keys = |part: &str| workflow.to_string().matches(part).count();
        let named = keys("run_id: run.run_id") + keys("run_id: $json.body.run_id");
        assert_eq!(
            keys("idempotency_key:"),
            named + keys("beside: run.run_id"),
            "{file}"
        );
    }
}

/// Secrets come from the environment of the deployment.
#[test]
fn no_secret_is_in_the_files() {
    for credential in items(&json_of("credentials.template.json")) {
        let value = credential["data"]["value"].as_str().unwrap();
        assert!(value.starts_with('=') && value.contains("$env."), "{value}");
    }
}

/// The stack and n8n, with a trip of Iberia's: Ana and Tom are on board, Rosa drives.
struct Driven {
    stack: Stack,
    events: hasura_events::Deps,
    n8n: OrchestratorClient,
    secret: String,
    trip: Trip,
    ana: String,
}

impl Driven {
    async fn new() -> Self {
        let stack = Stack::from_env().await.unwrap();
        let (url, secret) = (
            setting("COMMS_N8N_URL").unwrap(),
            setting("COMMS_N8N_SECRET").unwrap(),
        );
        let n8n = OrchestratorClient::new(client().unwrap(), &url).unwrap();
        let orchestrator = Orchestrator {
            client: n8n.clone(),
            secret: Secret::of("N8N_SECRET", secret.clone().into()),
        };
        let sql = "insert into communications.api_clients (tenant_id, id, name, token_sha256, scopes)
                   values (communications.platform_tenant(), communications.uuid_v7(), 'n8n', sha256(convert_to($1, 'UTF8')),
                           '{notifications:read,notifications:write}')
                   on conflict do nothing";
        let token = setting("COMMS_N8N_TOKEN").unwrap();
        sqlx::query(sql)
            .bind(token)
            .execute(&stack.pool)
            .await
            .unwrap();
        let (operator, [ana, tom, rosa]) = (iberia(), std::array::from_fn(|_| phone()));
        let travellers = vec![traveller("Ana García", &ana), traveller("Tom Baker", &tom)];
        let trip = operator
            .schedule(&stack.pool, "N8N-1", travellers)
            .await
            .unwrap();
        let sql = "with rosa as (insert into operations.drivers (id, tenant_id, full_name, phone, locale)
                                 values (communications.uuid_v7(), $2, 'Rosa Díaz', $3, 'es') returning id)
                   update operations.trips set driver_id = (select id from rosa) where id = $1";
        sqlx::query(sql)
            .bind(trip.id)
            .bind(trip.tenant)
            .bind(rosa)
            .execute(&stack.pool)
            .await
            .unwrap();
        Self {
            events: stack.events(orchestrator).unwrap(),
            stack,
            n8n,
            secret,
            trip,
            ana,
        }
    }

    /// A rule of Iberia's own, for the time of a test.
    async fn hands_over(&self, event: &str) {
        let sql = "insert into communications.notification_rules
                       (tenant_id, id, trigger_event, audience, steps, category, lane, expires_after, orchestrator)
                   select $1, communications.uuid_v7(), trigger_event, audience, steps, category, lane, expires_after, 'N8N'
                     from communications.notification_rules
                    where tenant_id = communications.platform_tenant() and trigger_event = $2
                   on conflict do nothing";
        sqlx::query(sql)
            .bind(self.trip.tenant)
            .bind(event)
            .execute(&self.stack.pool)
            .await
            .unwrap();
    }

    async fn ends(&self) {
        let sql = "delete from communications.notification_rules where tenant_id = $1 and orchestrator = 'N8N'";
        sqlx::query(sql)
            .bind(self.trip.tenant)
            .execute(&self.stack.pool)
            .await
            .unwrap();
    }

    /// Hasura reports a change to a function that knows n8n; the run that is handed over.
    async fn reports(&self, trigger: &str, (old, new): &(Value, Value)) -> Uuid {
        let mut body = calls::event_trigger(Uuid::now_v7(), trigger, old, new);
        if old.is_null() {
            body["event"]["op"] = json!("INSERT");
        }
        let secret = setting("HASURA_SECRET").unwrap();
        let request = calls::from_hasura("/api/hasura/events", &secret, &body);
        let response = hasura_events::handle(&self.events, request).await;
        let answer: Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!(answer["run"]["status"], "HANDED_OVER", "{answer}");
        answer["run"]["run_id"].as_str().unwrap().parse().unwrap()
    }

    async fn until(&self, fact: &str, sql: &'static str, run: Uuid) -> Value {
        let (found,): (Value,) = self.stack.until(fact, sql, run).await.unwrap();
        found
    }
}

/// Nobody else's number: the stack's database outlives the test.
fn phone() -> String {
    format!("+346{:08}", Uuid::now_v7().as_u128() % 100_000_000)
}

fn traveller(name: &'static str, phone: &str) -> Traveller {
    // Leaked: a handful of bytes in a test process, and the fixture's texts are static.
    Traveller::new(
        name,
        Some(Box::leak(phone.to_owned().into_boxed_str())),
        Some("es"),
    )
}

const CARRIED_OUT: &str = "select jsonb_agg(m.channel) from communications.messages m
                             join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
                            where m.run_id = $1 and m.step = 0 and r.status = 'COMPLETED' having count(*) > 0";

#[tokio::test]
#[ignore = "needs n8n: cargo xtask n8n test"]
async fn n8n_carries_out_a_delayed_trip() {
    let driven = Driven::new().await;
    driven.hands_over("TRIP_DELAYED").await;
    let change = driven.trip.delay(&driven.stack.pool, 45).await.unwrap();
    let run = driven.reports("trip_delayed", &change).await;
    let channels = driven.until("both are written to", CARRIED_OUT, run).await;
    assert_eq!(channels, json!(["WHATSAPP", "WHATSAPP"]));
    driven.ends().await;
}

#[tokio::test]
#[ignore = "needs n8n: cargo xtask n8n test"]
async fn n8n_reminds_by_sms_whom_whatsapp_did_not_reach() {
    let driven = Driven::new().await;
    let unreachable = json!({"recipient": driven.ana, "answer": {"kind": "fail", "code": 131_026}});
    driven
        .stack
        .simulator("script", &unreachable)
        .await
        .unwrap();
    // Of Iberia's own, and so without the platform's quiet hours: it may be night.
    driven.hands_over("TRIP_REMINDER_24H").await;
    // As the clock leaves it, a day before.
    let run = Uuid::now_v7();
    let context = json!({"trip_id": driven.trip.id});
    let about = json!({"subject": "TRIP", "id": driven.trip.id, "profile": null, "audiences": ["TRIP_PASSENGERS"]});
    let answer = json!({"run_id": run, "status": "HANDED_OVER", "recipients": []});
    let sql = "insert into communications.trigger_runs
                   (tenant_id, id, source, idempotency_key, body_hash, trigger_event, status, context, answer, hand_off, deadline_at)
               values ($1, $2, 'schedule', $2::text, '', 'TRIP_REMINDER_24H', 'HANDED_OVER', $3, $4, $5, now() + interval '10 minutes')";
    let query = sqlx::query(sql)
        .bind(driven.trip.tenant)
        .bind(run)
        .bind(&context);
    query
        .bind(answer)
        .bind(about)
        .execute(&driven.stack.pool)
        .await
        .unwrap();
    let told = json!({"run_id": run, "tenant_id": driven.trip.tenant, "trigger_event": "TRIP_REMINDER_24H", "context": context});
    driven
        .n8n
        .tell("trip_reminder_24h", &driven.secret, &told)
        .await
        .unwrap();
    let by_sms = "select jsonb_agg(m.address) from communications.messages m
                    join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
                   where r.idempotency_key = $1::text || '/sms' and m.channel = 'SMS' having count(*) > 0";
    assert_eq!(
        driven.until("Ana gets an SMS", by_sms, run).await,
        json!([driven.ana])
    );
    driven.ends().await;
}

#[tokio::test]
#[ignore = "needs n8n: cargo xtask n8n test"]
async fn n8n_tells_everybody_of_an_incident() {
    let driven = Driven::new().await;
    driven.hands_over("INCIDENT_CREATED").await;
    let sql = "insert into operations.incidents (id, tenant_id, trip_id, severity, summary)
               values (communications.uuid_v7(), $1, $2, 'HIGH', 'un pinchazo') returning to_jsonb(incidents)";
    let query = sqlx::query_scalar(sql)
        .bind(driven.trip.tenant)
        .bind(driven.trip.id);
    let incident: Value = query.fetch_one(&driven.stack.pool).await.unwrap();
    let run = driven
        .reports("incident_created", &(Value::Null, incident))
        .await;
    let channels = driven
        .until("the passengers are told", CARRIED_OUT, run)
        .await;
    assert_eq!(channels, json!(["WHATSAPP", "WHATSAPP"]));
    let rosa = "select to_jsonb(m.channel) from communications.messages m
                    join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
                   where r.idempotency_key = $1::text || '/driver'";
    assert_eq!(driven.until("Rosa is told", rosa, run).await, "SMS");
    driven.ends().await;
}

/// Who does not know the secret starts nothing.
#[tokio::test]
#[ignore = "needs n8n: cargo xtask n8n test"]
async fn n8n_lets_nobody_in_without_the_secret() {
    let driven = Driven::new().await;
    let refused = driven.n8n.tell("trip_delayed", "guessed", &json!({})).await;
    assert_eq!(refused.unwrap_err().to_string(), "HTTP 403");
}
