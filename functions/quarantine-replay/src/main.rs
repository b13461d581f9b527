//! Wiring only: dependencies once, then the handler for each invocation.

// The runtime's, the SDK's and our futures nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use comms_core::platform::telemetry;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use quarantine_replay::{Deps, handle};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_from_env();
    let deps = &Deps::from_env()?;
    run(service_fn(async move |event: LambdaEvent<Value>| {
        Box::pin(handle(deps, &event.payload))
            .await
            .map_err(|error| Diagnostic {
                error_type: "ReplayError".to_owned(),
                error_message: telemetry::chain(&error),
            })
    }))
    .await
}
