//! What is logged, at the loudest level that there is, while secrets come, fail, change and go.

use crate::flow::hinted;
use comms_core::platform::telemetry;
use comms_simulator::{Signup, Waba, WabaNumber};
use comms_tests::world::{APP_SECRET, HASURA_SECRET, VERIFY_TOKEN, World};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// Somebody's, in a log that must not know anybody.
const RECIPIENT: &str = "+34600111222";
const PIN: &str = "482913";
const WABA: &str = "210000000000009";
const NUMBER: &str = "110000000000009";

/// All that was written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_that_is_logged_at_any_level_holds_a_secret_or_a_person() {
    let world = World::new().await;
    let log = Log::default();
    let writer = log.clone();
    // This test's thread alone; its runtime has no other.
    let listening =
        tracing::subscriber::set_default(telemetry::subscriber("trace", move || writer.clone()));

    let number = WabaNumber {
        pin: Some(PIN.to_owned()),
        ..WabaNumber::new(NUMBER, "34911000009", "Nueva")
    };
    world.simulator.plant(Waba::new(WABA, [number])).unwrap();
    let connect = async |code: Option<&str>, pin: &str| {
        let input = json!({"waba_id": WABA, "phone_number_id": NUMBER, "code": code, "pin": pin});
        let done = world
            .administers(&world.iberia, "connectWhatsApp", &input)
            .await;
        done.unwrap()["failed_step"].clone()
    };
    let code = world.simulator.sign_up(Signup::of(WABA)).unwrap();
    // Meta's refusals say the code, the token and the PIN that they refuse.
    assert_eq!(connect(Some(&code), "482914").await, "REGISTER");
    assert_eq!(connect(Some(&code), PIN).await, "EXCHANGE");
    let code = world.simulator.sign_up(Signup::of(WABA)).unwrap();
    // The stack of this test has no address that anybody reaches.
    assert_eq!(connect(Some(&code), PIN).await, "OVERRIDE");
    assert_eq!(world.simulator.revoke_all(WABA), 2);
    assert_eq!(connect(None, PIN).await, "OVERRIDE");

    let ours = &world.iberia;
    let rotate = json!({"channel_account_id": ours.account, "code": "AQ-never-given"});
    let rotated = world.administers(ours, "rotateCredentials", &rotate).await;
    assert_eq!(rotated.unwrap()["failed_step"], "EXCHANGE");
    let test = json!({
        "channel_account_id": ours.account, "to": RECIPIENT, "client_message_id": "1",
        "template": {"name": "trip_delayed", "language": "en", "body": ["a", "b", "c", "d", "e"]}
    });
    world
        .administers(ours, "sendTestMessage", &test)
        .await
        .unwrap();
    world.simulator.revoke(ours.access_token);
    assert_eq!(hinted(&world).await, 1);
    let sync = json!({"channel_account_id": ours.account});
    let refused = world
        .administers(ours, "syncWhatsAppTemplates", &sync)
        .await;
    assert_eq!(refused, Err("provider-refused".to_owned()));
    drop(listening);

    let written = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    assert!(lines.len() > 10, "{}", lines.len());
    let is_json = |line: &&str| serde_json::from_str::<Value>(line).is_ok();
    assert!(lines.iter().all(is_json));
    let mut secrets = world.simulator.secrets();
    assert!(secrets.len() > 5);
    let others = [
        "AQ-never-given",
        PIN,
        "482914",
        APP_SECRET,
        HASURA_SECRET,
        VERIFY_TOKEN,
        ours.access_token,
        &RECIPIENT[1..],
    ];
    secrets.extend(others.map(str::to_owned));
    for secret in secrets {
        let found = lines.iter().find(|line| line.contains(&secret));
        assert_eq!(found, None, "holds {secret}");
    }
}
