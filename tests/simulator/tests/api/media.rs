//! Files: uploaded, resolved, downloaded, and every way in which Meta does not give one.

use crate::{TOKEN, number, start};
use comms_simulator::{Media, MediaAnswer, MediaScript, MediaStep, Number, Simulator};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

const BYTES: &[u8] = b"\xff\xd8\xff a picture";

async fn simulator() -> (Simulator, String) {
    let simulator = start().await;
    simulator.register(number()).expect("a number");
    simulator
        .register(Number::new(
            "2065",
            "waba-2",
            "34911222444",
            "another-token",
        ))
        .expect("a number");
    let id = simulator.upload(Media::new("1065", "image/jpeg", BYTES));
    (simulator, id.expect("an id"))
}

async fn get(url: &str, token: &str) -> Response {
    let call = Client::new().get(url).bearer_auth(token).send();
    call.await.expect("an answer")
}

async fn resolve(simulator: &Simulator, id: &str, query: &str, token: &str) -> (u16, Value) {
    let url = format!("{}/v26.0/{id}{query}", simulator.url());
    let response = get(&url, token).await;
    (
        response.status().as_u16(),
        response.json().await.expect("JSON"),
    )
}

async fn place(simulator: &Simulator, id: &str) -> String {
    let (status, body) = resolve(simulator, id, "?phone_number_id=1065", TOKEN).await;
    assert_eq!(status, 200, "{body}");
    body["url"].as_str().expect("a URL").to_owned()
}

#[tokio::test]
async fn a_file_is_found_and_fetched_with_the_token_of_its_number() {
    let (simulator, id) = simulator().await;
    let (_, body) = resolve(&simulator, &id, "?phone_number_id=1065", TOKEN).await;
    assert_eq!(
        (&body["id"], &body["file_size"]),
        (&json!(id), &json!("13"))
    );
    assert_eq!(body["sha256"].as_str().map(str::len), Some(64));
    let url = place(&simulator, &id).await;
    let response = get(&url, TOKEN).await;
    assert_eq!(response.headers()["content-type"], "image/jpeg");
    assert_eq!(response.bytes().await.expect("a body"), BYTES);

    assert_eq!(
        get(&url, "another-token").await.status(),
        StatusCode::UNAUTHORIZED
    );
    for (query, token, code) in [
        ("?phone_number_id=1065", "another-token", 190),
        ("?phone_number_id=2065", TOKEN, 100),
    ] {
        let (_, body) = resolve(&simulator, &id, query, token).await;
        assert_eq!(body["error"]["code"], code, "{query} {token}");
    }
    let (_, body) = resolve(&simulator, "77", "", TOKEN).await;
    assert_eq!(
        (&body["error"]["code"], &body["error"]["error_subcode"]),
        (&json!(100), &json!(33))
    );
    assert_eq!(simulator.media_calls().len(), 7);
}

#[tokio::test]
async fn urls_die_before_the_file_does() {
    let (simulator, id) = simulator().await;
    let url = place(&simulator, &id).await;
    simulator.expire_media_urls(&id);
    assert_eq!(get(&url, TOKEN).await.status(), StatusCode::NOT_FOUND);
    let url = place(&simulator, &id).await;
    assert_eq!(get(&url, TOKEN).await.status(), StatusCode::OK);
    simulator.forget_media(&id).expect("a file");
    assert_eq!(get(&url, TOKEN).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        resolve(&simulator, &id, "", TOKEN).await.1["error"]["code"],
        100
    );
}

#[tokio::test]
async fn scripts_are_used_up_one_by_one() {
    let (simulator, id) = simulator().await;
    let script = |step, answer| MediaScript::new(&id, step, answer);
    let busy = MediaAnswer::Bare { http_status: 503 };
    simulator.script_media(script(MediaStep::Download, busy).times(2));
    let moved = MediaAnswer::Redirect {
        location: "http://127.0.0.1:9/".to_owned(),
    };
    simulator.script_media(script(MediaStep::Download, moved));
    simulator.script_media(script(MediaStep::Download, MediaAnswer::Garbage));
    simulator.script_media(script(MediaStep::Resolve, MediaAnswer::Fail { code: 4 }));
    assert_eq!(
        resolve(&simulator, &id, "", TOKEN).await.1["error"]["code"],
        4
    );
    let url = place(&simulator, &id).await;
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let call = client.get(&url).bearer_auth(TOKEN).send();
        let response = call.await.expect("an answer");
        statuses.push((
            response.status().as_u16(),
            response.bytes().await.expect("a body") == BYTES,
        ));
    }
    assert_eq!(
        statuses,
        [
            (503, false),
            (503, false),
            (302, false),
            (200, false),
            (200, true)
        ]
    );
}

#[tokio::test]
async fn over_http_and_named_by_an_inbound_message() {
    let (simulator, _) = simulator().await;
    let post = async |path: &str, body: Value| {
        let url = format!("{}/_sim/{path}", simulator.url());
        let call = Client::new().post(url).json(&body).send();
        let response = call.await.expect("an answer");
        (
            response.status().as_u16(),
            response.json::<Value>().await.expect("JSON"),
        )
    };
    let upload = json!({ "phone_number_id": "1065", "mime_type": "image/jpeg", "base64": "/9j/", "size": 3_000_000 });
    let (status, object) = post("media", upload).await;
    assert_eq!(status, 200, "{object}");
    let id = object["id"].as_str().expect("an id");
    assert_eq!(object["sha256"].as_str().map(str::len), Some(44));
    let message = json!({ "phone_number_id": "1065", "from": "34600111222", "message": { "type": "image", "image": object } });
    assert_eq!(post("inbound", message).await.0, 200);
    let held = simulator.take_held();
    let webhook: Value = serde_json::from_slice(&held[0].body).expect("JSON");
    assert_eq!(
        webhook["entry"][0]["changes"][0]["value"]["messages"][0]["image"]["id"],
        json!(id)
    );
    let url = place(&simulator, id).await;
    assert_eq!(
        get(&url, TOKEN).await.bytes().await.expect("a body").len(),
        3_000_000
    );
    let script = json!({ "media_id": id, "step": "download", "answer": { "kind": "bare", "http_status": 401 } });
    assert_eq!(post("media/script", script).await.0, 200);
    assert_eq!(get(&url, TOKEN).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(post("media/expire", json!({ "media_id": id })).await.0, 200);
    assert_eq!(resolve(&simulator, id, "", TOKEN).await.0, 400);
    for (path, body) in [
        (
            "media",
            json!({ "phone_number_id": "9", "mime_type": "image/jpeg" }),
        ),
        (
            "media",
            json!({ "phone_number_id": "1065", "mime_type": "image/jpeg", "base64": "?" }),
        ),
        (
            "media/script",
            json!({ "media_id": "9", "step": "resolve" }),
        ),
        ("media/expire", json!({ "media_id": "9" })),
    ] {
        assert!((400..500).contains(&post(path, body).await.0), "{path}");
    }
}
