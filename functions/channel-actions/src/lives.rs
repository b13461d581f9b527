//! What needs no provider: one transaction each.

use crate::{as_channel, unknown};
use comms_core::channels::{ChannelError, health, lifecycle};
use comms_core::inbox;
use comms_core::model::AccountId;
use comms_core::platform::hasura::{ActionRequest, Session};
use comms_core::platform::queue::Hint;
use comms_core::platform::{Backend, Tx};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    channel_account_id: AccountId,
}

pub(crate) async fn act(
    backend: &Backend,
    session: &Session,
    call: &ActionRequest,
) -> Result<Value, ChannelError> {
    let mut tx = backend.database.begin().await?;
    match within(&mut tx, session, call).await {
        Ok((answer, hints)) => {
            tx.commit().await?;
            backend.queues.publish_or_leave_to_scan(&hints).await;
            Ok(answer)
        }
        Err(error) => {
            // The refusal is the answer, whether the connection survives it or not.
            let _ = tx.rollback().await;
            Err(error)
        }
    }
}

async fn within(
    tx: &mut Tx,
    session: &Session,
    call: &ActionRequest,
) -> Result<(Value, Vec<Hint>), ChannelError> {
    let which = || {
        call.arguments()
            .map(|Which { channel_account_id }| channel_account_id)
    };
    let mut hints = Vec::new();
    let answer = match call.action.name.as_str() {
        "channelHealth" => json!(health::channel_health(tx, session, which()?).await?),
        "disableChannel" => {
            json!(lifecycle::disable_channel(tx, session, &call.arguments()?).await?)
        }
        "resumeChannel" => {
            let (state, released) = lifecycle::resume_channel(tx, session, which()?).await?;
            hints.extend(released);
            json!(state)
        }
        "setSandboxMode" => {
            json!(lifecycle::set_sandbox_mode(tx, session, call.arguments()?).await?)
        }
        "sendTestMessage" => {
            let queued = inbox::send_test_message(tx, session, &call.arguments()?).await;
            let (queued, hint) = queued.map_err(as_channel)?;
            hints.extend(hint);
            json!(queued)
        }
        _ => return Err(unknown()),
    };
    Ok((answer, hints))
}
