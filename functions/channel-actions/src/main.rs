//! Wiring only: dependencies once, then the handler for each call.

// The runtime's, the SDK's and our futures nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use channel_actions::{Deps, invoked};
use comms_core::platform::telemetry;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_from_env();
    let deps = &Deps::from_env()?;
    run(service_fn(async move |event: LambdaEvent<Value>| {
        invoked(deps, event.payload).await
    }))
    .await
}
