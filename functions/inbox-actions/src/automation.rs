//! What administrators do about automated messages: templates, and the programs that may ask for some.

use crate::unknown;
use comms_core::automation::{clients, editing};
use comms_core::inbox::InboxError;
use comms_core::model::TemplateId;
use comms_core::platform::Tx;
use comms_core::platform::hasura::{ActionRequest, Session};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichTemplate {
    template_id: TemplateId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichClient {
    client_id: Uuid,
}

pub(crate) async fn act(
    tx: &mut Tx,
    session: &Session,
    call: &ActionRequest,
) -> Result<Value, InboxError> {
    Ok(match call.action.name.as_str() {
        "saveTemplate" => json!(editing::save_template(tx, session, &call.arguments()?).await?),
        "publishTemplate" => {
            let WhichTemplate { template_id } = call.arguments()?;
            json!(editing::publish_template(tx, session, template_id).await?)
        }
        "previewTemplate" => {
            json!(editing::preview_template(tx, session, &call.arguments()?).await?)
        }
        "createApiClient" => json!(clients::create_client(tx, session, &call.arguments()?).await?),
        "disableApiClient" => {
            let WhichClient { client_id } = call.arguments()?;
            json!(clients::disable_client(tx, session, client_id).await?)
        }
        _ => return Err(unknown()),
    })
}
