//! Wiring only: dependencies once, then the handler for each event.

// The runtime's, the SDK's and our futures nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use aws_events::{Deps, invoked};
use comms_core::platform::telemetry;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_from_env();
    let deps = &Deps::from_env()?;
    run(service_fn(async move |event: LambdaEvent<Value>| {
        Box::pin(invoked(deps, event.payload))
            .await
            .map_err(|error| Diagnostic {
                error_type: "EventsError".to_owned(),
                error_message: telemetry::chain(&error),
            })
    }))
    .await
}
