//! Wiring only: dependencies once, then the handler for each tick.

// The runtime's, the SDK's and our futures nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use comms_core::platform::telemetry;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use stuck_scan::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_from_env();
    let deps = &Deps::from_env()?;
    run(service_fn(async move |_: LambdaEvent<Value>| {
        Box::pin(handle(deps)).await.map_err(|error| Diagnostic {
            error_type: "ScanError".to_owned(),
            error_message: telemetry::chain(&error),
        })
    }))
    .await
}
