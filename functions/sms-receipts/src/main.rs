//! Wiring only: dependencies once, then the handler for each event.

// The runtime's, the SDK's and our futures nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use comms_core::platform::telemetry;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};
use sms_receipts::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_from_env();
    let deps = &Deps::from_env()?;
    run(service_fn(
        async move |event: LambdaEvent<Value>| match handle(deps, &event.payload).await {
            Ok(ingested) => {
                Ok(json!({"statuses": ingested.statuses, "quarantined": ingested.quarantined}))
            }
            Err(error) => Err(Diagnostic {
                error_type: "InboundError".to_owned(),
                error_message: telemetry::chain(&error),
            }),
        },
    ))
    .await
}
