//! Every file in events/ is what its function really gets, and the function answers it.

use comms_tests::world::World;
use lambda_http::Request;
use serde_json::Value;
use std::path::PathBuf;

const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");

/// Case and text, in the order of the cases.
pub fn files(function: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(EVENTS).join(function);
    let mut files: Vec<(String, String)> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_stem().unwrap().to_str().unwrap().to_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

fn request(text: &str) -> Request {
    lambda_http::request::from_str(text).unwrap()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one loop for each function")]
async fn every_event_file_is_answered_as_its_name_says() {
    let world = World::new().await;
    let mut answers = Vec::new();
    for (case, text) in files("hasura-events") {
        answers.push((
            format!("hasura-events/{case}"),
            hasura_events::handle(&world.events, request(&text))
                .await
                .status()
                .as_u16(),
        ));
    }
    for (case, text) in files("inbox-actions") {
        answers.push((
            format!("inbox-actions/{case}"),
            inbox_actions::handle(&world.actions, request(&text))
                .await
                .status()
                .as_u16(),
        ));
    }
    for (case, text) in files("channel-actions") {
        answers.push((
            format!("channel-actions/{case}"),
            channel_actions::handle(&world.channels, request(&text))
                .await
                .status()
                .as_u16(),
        ));
    }
    for (case, text) in files("meta-webhook") {
        answers.push((
            format!("meta-webhook/{case}"),
            meta_webhook::handle(&world.webhook, request(&text))
                .await
                .status()
                .as_u16(),
        ));
    }
    world
        .execute(
            "insert into communications.api_clients (tenant_id, id, name, token_sha256, scopes)
             values ('0192f000-0000-7000-8000-00000000000a', communications.uuid_v7(), 'backoffice', sha256('comms_example'),
                     '{notifications:read,notifications:write,batches:write}')",
        )
        .await;
    for (case, text) in files("notifications") {
        let response = notifications::handle(&world.api(), request(&text)).await;
        let status = response.status().as_u16();
        let event: Value = serde_json::from_str(&text).unwrap();
        let (method, path) = event["routeKey"].as_str().unwrap().split_once(' ').unwrap();
        let answer = serde_json::from_str(response.body()).unwrap();
        let body = event["body"].as_str().unwrap();
        crate::openapi::keeps(method, path, body, (status, &answer));
        answers.push((format!("notifications/{case}"), status));
    }
    for (case, text) in files("dispatch-worker") {
        let response =
            dispatch_worker::handle(&world.worker, serde_json::from_str(&text).unwrap()).await;
        answers.push((
            format!("dispatch-worker/{case}: failed records"),
            u16::try_from(response.batch_item_failures.len()).unwrap(),
        ));
    }
    for (case, text) in files("media-worker") {
        let response =
            media_worker::handle(&world.media, serde_json::from_str(&text).unwrap()).await;
        answers.push((
            format!("media-worker/{case}: failed records"),
            u16::try_from(response.batch_item_failures.len()).unwrap(),
        ));
    }
    for (case, text) in files("batch-worker") {
        let response =
            batch_worker::handle(&world.batch_worker(), serde_json::from_str(&text).unwrap()).await;
        answers.push((
            format!("batch-worker/{case}: failed records"),
            u16::try_from(response.batch_item_failures.len()).unwrap(),
        ));
    }
    for (case, text) in files("aws-events") {
        let answer =
            aws_events::handle(&world.aws_events, serde_json::from_str(&text).unwrap()).await;
        let failures = answer["batchItemFailures"].as_array().map(Vec::len);
        let failures = failures.and_then(|failures| u16::try_from(failures).ok());
        answers.push((
            format!("aws-events/{case}"),
            failures
                .unwrap_or_else(|| u16::try_from(answer["statusCode"].as_u64().unwrap()).unwrap()),
        ));
    }
    for (case, text) in files("sms-receipts") {
        let taken = world.sms_log(&serde_json::from_str(&text).unwrap()).await;
        answers.push((
            format!("sms-receipts/{case}: kept for later"),
            u16::try_from(taken.quarantined).unwrap(),
        ));
    }
    for (case, text) in files("quarantine-replay") {
        let replayed = world
            .tries_to_replay(&serde_json::from_str(&text).unwrap())
            .await;
        answers.push((
            format!("quarantine-replay/{case}: refused"),
            u16::from(replayed.is_err()),
        ));
    }
    let lines: Vec<String> = answers
        .iter()
        .map(|(case, answer)| format!("{case} {answer}"))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_function_has_event_files() {
    for folder in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../functions")).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(!files(&name).is_empty(), "{name}");
    }
}
