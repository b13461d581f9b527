//! template.yaml says the whole deployment; these are the rules that linters do not know.

use serde_norway::Value;
use std::collections::BTreeSet;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn resources() -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(format!("{ROOT}/template.yaml")).unwrap();
    let template: Value = serde_norway::from_str(&text).unwrap();
    let resources = untagged(&template)["Resources"]
        .as_mapping()
        .unwrap()
        .clone();
    resources
        .into_iter()
        .map(|(name, resource)| (name.as_str().unwrap().to_owned(), resource))
        .collect()
}

/// `!Ref x` as `{"Ref": x}`, `!GetAtt a.b` as `{"GetAtt": "a.b"}`, and so on.
fn untagged(value: &Value) -> Value {
    match value {
        Value::Tagged(tagged) => {
            let name = tagged.tag.to_string();
            Value::Mapping(
                [(
                    Value::String(name.trim_start_matches('!').to_owned()),
                    untagged(&tagged.value),
                )]
                .into_iter()
                .collect(),
            )
        }
        Value::Mapping(members) => Value::Mapping(
            members
                .iter()
                .map(|(key, value)| (key.clone(), untagged(value)))
                .collect(),
        ),
        Value::Sequence(items) => Value::Sequence(items.iter().map(untagged).collect()),
        other => other.clone(),
    }
}

fn of_type(kind: &str) -> Vec<(String, Value)> {
    resources()
        .into_iter()
        .filter(|(_, resource)| resource["Type"].as_str() == Some(kind))
        .map(|(name, resource)| (name, resource["Properties"].clone()))
        .collect()
}

#[test]
fn every_function_folder_is_deployed_and_nothing_else_is() {
    let folders: BTreeSet<String> = std::fs::read_dir(format!("{ROOT}/functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let deployed: BTreeSet<String> = of_type("AWS::Serverless::Function")
        .iter()
        .map(|(_, function)| {
            function["CodeUri"]
                .as_str()
                .unwrap()
                .trim_end_matches('/')
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(folders, deployed);
}

/// AWS asks for six times the function's timeout; less lets a slow batch be delivered twice.
#[test]
fn a_queues_visibility_is_six_times_the_timeout_of_its_function() {
    let queues = of_type("AWS::SQS::Queue");
    let mut checked = 0;
    for (name, function) in of_type("AWS::Serverless::Function") {
        let Some(events) = function["Events"].as_mapping() else {
            continue;
        };
        for event in events
            .values()
            .filter(|event| event["Type"].as_str() == Some("SQS"))
        {
            let queue = event["Properties"]["Queue"]["GetAtt"]
                .as_str()
                .unwrap()
                .split('.')
                .next()
                .unwrap()
                .to_owned();
            let (_, queue) = queues.iter().find(|(id, _)| *id == queue).unwrap();
            let (visibility, timeout) = (
                queue["VisibilityTimeout"].as_u64().unwrap(),
                function["Timeout"].as_u64().unwrap(),
            );
            assert!(
                visibility >= 6 * timeout,
                "{name}: {visibility} s for a timeout of {timeout} s"
            );
            assert_eq!(
                event["Properties"]["FunctionResponseTypes"][0].as_str(),
                Some("ReportBatchItemFailures"),
                "{name}"
            );
            // What has gathered while the database was away must not overrun it; agents and codes wait for nothing.
            assert!(
                event["Properties"]["ScalingConfig"]["MaximumConcurrency"].is_u64()
                    || event["Properties"]["Queue"]["GetAtt"].as_str()
                        == Some("InteractiveQueue.Arn"),
                "{name}"
            );
            checked += 1;
        }
    }
    assert_eq!(
        checked, 6,
        "three lanes, files, batches, and what AWS tells"
    );
}

#[test]
fn every_queue_ends_in_a_dead_letter_queue_that_keeps_for_a_fortnight() {
    let queues = of_type("AWS::SQS::Queue");
    let of = |name: &str| {
        queues
            .iter()
            .find(|(id, _)| id == name)
            .map(|(_, queue)| queue)
    };
    for (name, queue) in &queues {
        if let Some(target) = queue["RedrivePolicy"]["deadLetterTargetArn"]["GetAtt"].as_str() {
            let dead = of(target.split('.').next().unwrap()).unwrap();
            assert_eq!(
                dead["MessageRetentionPeriod"].as_u64(),
                Some(1_209_600),
                "{name}"
            );
        } else {
            let is_target = queues.iter().any(|(_, other)| {
                other["RedrivePolicy"]["deadLetterTargetArn"]["GetAtt"]
                    .as_str()
                    .is_some_and(|arn| arn.split('.').next() == Some(name))
            });
            let keeps_calls = of_type("AWS::Serverless::Function").iter().any(|(_, function)| {
                function["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"]["GetAtt"]
                    .as_str()
                    .is_some_and(|arn| arn.split('.').next() == Some(name))
            });
            assert!(
                is_target || keeps_calls,
                "{name} has no dead-letter queue and is none"
            );
        }
    }
}

/// Actions of which AWS names no resource.
const NAMELESS: &[&str] = &[
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    // What is to be made.
    "sms-voice:CreateOptOutList",
    "sms-voice:CreateConfigurationSet",
];

#[test]
fn a_role_names_what_it_may_touch_and_every_function_has_its_own() {
    let mut roles = BTreeSet::new();
    for (name, function) in of_type("AWS::Serverless::Function") {
        let role = function["Role"]["GetAtt"]
            .as_str()
            .unwrap_or_else(|| panic!("{name} has no role of its own"))
            .to_owned();
        assert!(roles.insert(role), "{name} shares its role");
    }
    for (name, role) in of_type("AWS::IAM::Role") {
        for policy in role["Policies"].as_sequence().unwrap() {
            for statement in policy["PolicyDocument"]["Statement"].as_sequence().unwrap() {
                let actions = strings(&statement["Action"]);
                assert!(
                    actions.iter().all(|action| !action.contains('*')),
                    "{name}: {actions:?}"
                );
                let open = strings(&statement["Resource"])
                    .iter()
                    .any(|resource| resource == "*");
                assert!(
                    !open
                        || actions
                            .iter()
                            .all(|action| NAMELESS.contains(&action.as_str())),
                    "{name}: {actions:?} on *"
                );
            }
        }
    }
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Sequence(items) => items.iter().flat_map(strings).collect(),
        Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

/// Lambda kills a worker before its lease ends, so a lease that ended has no living holder.
#[test]
fn a_lease_outlives_its_worker() {
    for (name, lease) in [
        ("dispatch-worker", comms_core::dispatch::LEASE_SECONDS),
        ("media-worker", comms_core::media::LEASE_SECONDS),
    ] {
        let functions = of_type("AWS::Serverless::Function");
        let (_, worker) = functions
            .iter()
            .find(|(_, function)| function["CodeUri"].as_str().unwrap().contains(name))
            .unwrap();
        #[expect(clippy::cast_precision_loss, reason = "seconds")]
        let timeout = worker["Timeout"].as_u64().unwrap() as f64;
        assert!(lease > timeout + 5.0, "{name}");
    }
}

/// What customers send is nobody else's: private, encrypted, by TLS alone, and kept when the stack goes.
#[test]
fn every_bucket_is_private_encrypted_and_behind_tls() {
    let policies = of_type("AWS::S3::BucketPolicy");
    let buckets = of_type("AWS::S3::Bucket");
    assert_eq!(buckets.len(), 2);
    for (name, bucket) in buckets {
        let access = bucket["PublicAccessBlockConfiguration"]
            .as_mapping()
            .unwrap();
        assert_eq!(access.len(), 4, "{name}");
        assert!(
            access.values().all(|on| on.as_bool() == Some(true)),
            "{name}"
        );
        assert!(!bucket["BucketEncryption"].is_null(), "{name}");
        let (_, policy) = policies
            .iter()
            .find(|(_, policy)| policy["Bucket"]["Ref"].as_str() == Some(&name))
            .unwrap_or_else(|| panic!("{name} has no policy"));
        let statements = policy["PolicyDocument"]["Statement"].as_sequence().unwrap();
        let tls = statements.iter().any(|statement| {
            statement["Effect"].as_str() == Some("Deny")
                && statement["Condition"]["Bool"]["aws:SecureTransport"].as_str() == Some("false")
        });
        assert!(tls, "{name}");
        let open = statements.iter().any(|statement| {
            statement["Effect"].as_str() == Some("Allow") && statement["Condition"].is_null()
        });
        assert!(!open, "{name}: everybody's");
    }
    for (name, resource) in resources() {
        if resource["Type"].as_str() == Some("AWS::S3::Bucket") {
            assert_eq!(
                resource["DeletionPolicy"].as_str(),
                Some("RetainExceptOnCreate"),
                "{name}"
            );
        }
    }
}

/// Whoever is woken finds what to do.
#[test]
fn every_alarm_has_a_section_in_the_runbook() {
    let runbook = std::fs::read_to_string(format!("{ROOT}/docs/runbook.md")).unwrap();
    let headings: String = runbook
        .lines()
        .filter(|line| line.starts_with("## "))
        .collect();
    for (name, _) in of_type("AWS::CloudWatch::Alarm") {
        assert!(headings.contains(&name), "{name}");
    }
}
