//! What is served: one table, by which calls are told apart and of which docs/openapi.json is made.

use comms_core::automation::clients::Scope;
use comms_core::model::RunId;
use comms_core::platform::hasura::ActionError;
use lambda_http::Request;
use uuid::Uuid;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Create,
    Preview,
    State(RunId),
    Cancel(RunId),
    OrchestratorError,
    CreateBatch,
    Batch(Uuid, OfBatch),
    /// Of a batch's recipients.
    Outcomes(Uuid),
}

/// What is asked of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfBatch {
    State,
    Add,
    Start,
    Pause,
    Resume,
    Cancel,
}

/// One call that is served.
#[derive(Debug)]
pub struct Route {
    pub method: &'static str,
    /// Below `/api/`; what stands in braces is an id.
    pub path: &'static str,
    pub scope: Scope,
    /// By the id of the path; where there is none it is nil.
    pub call: fn(Uuid) -> Call,
}

/// All of them.
pub const ROUTES: &[Route] = &[
    post("notifications", Scope::Write, |_| Call::Create),
    post("notifications/preview", Scope::Read, |_| Call::Preview),
    post("notifications/orchestrator-errors", Scope::Write, |_| {
        Call::OrchestratorError
    }),
    get("notifications/{run_id}", Scope::Read, |id| {
        Call::State(RunId(id))
    }),
    post("notifications/{run_id}/cancel", Scope::Write, |id| {
        Call::Cancel(RunId(id))
    }),
    post("batches", Scope::Batches, |_| Call::CreateBatch),
    get("batches/{batch_id}", Scope::Read, |id| {
        Call::Batch(id, OfBatch::State)
    }),
    get("batches/{batch_id}/recipients", Scope::Read, |id| {
        Call::Outcomes(id)
    }),
    post("batches/{batch_id}/recipients", Scope::Batches, |id| {
        Call::Batch(id, OfBatch::Add)
    }),
    post("batches/{batch_id}/start", Scope::Batches, |id| {
        Call::Batch(id, OfBatch::Start)
    }),
    post("batches/{batch_id}/pause", Scope::Batches, |id| {
        Call::Batch(id, OfBatch::Pause)
    }),
    post("batches/{batch_id}/resume", Scope::Batches, |id| {
        Call::Batch(id, OfBatch::Resume)
    }),
    post("batches/{batch_id}/cancel", Scope::Batches, |id| {
        Call::Batch(id, OfBatch::Cancel)
    }),
];

const fn get(path: &'static str, scope: Scope, call: fn(Uuid) -> Call) -> Route {
    Route {
        method: "GET",
        path,
        scope,
        call,
    }
}

const fn post(path: &'static str, scope: Scope, call: fn(Uuid) -> Call) -> Route {
    Route {
        method: "POST",
        path,
        scope,
        call,
    }
}

impl Route {
    /// The route of a call, and what is asked for.
    ///
    /// # Errors
    /// `not-found` for what is not served, and for an id that is none.
    pub fn of(request: &Request) -> Result<(&'static Self, Call), ActionError> {
        // A stage of the API may stand before it.
        let (_, below) = request
            .uri()
            .path()
            .split_once("/api/")
            .ok_or_else(|| ActionError::not_found("path"))?;
        let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
        let method = request.method().as_str();
        let route = ROUTES
            .iter()
            .find(|route| route.method == method && route.is(&parts))
            .ok_or_else(|| ActionError::not_found("path"))?;
        let id = route.id(&parts)?;
        Ok((route, (route.call)(id)))
    }

    fn is(&self, parts: &[&str]) -> bool {
        let own: Vec<&str> = self.path.split('/').collect();
        let same = |(own, part): (&&str, &&str)| own == part || own.starts_with('{');
        own.len() == parts.len() && own.iter().zip(parts).all(same)
    }

    fn id(&self, parts: &[&str]) -> Result<Uuid, ActionError> {
        let mut named = self.path.split('/').zip(parts);
        let Some((name, id)) = named.find(|(own, _)| own.starts_with('{')) else {
            return Ok(Uuid::nil());
        };
        let whose = name.trim_matches(['{', '}']).trim_end_matches("_id");
        id.parse().map_err(|_| ActionError::not_found(whose))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str) -> Result<(&'static Route, Call), ActionError> {
        let mut request = Request::default();
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        Route::of(&request)
    }

    #[test]
    fn every_route_is_found_by_its_own_path_alone() {
        let id = Uuid::now_v7();
        for route in ROUTES {
            let path = route.path.replace("{run_id}", &id.to_string());
            let path = path.replace("{batch_id}", &id.to_string());
            for stage in ["", "/prod"] {
                let (found, asked) = call(route.method, &format!("{stage}/api/{path}")).unwrap();
                assert_eq!(found.path, route.path);
                assert_eq!(asked, (route.call)(id), "{}", route.path);
            }
            for other in ["PUT", "DELETE", "PATCH"] {
                assert!(call(other, &format!("/api/{path}")).is_err());
            }
            assert!(call(route.method, &format!("/api/{path}/more")).is_err());
            assert!(call(route.method, &format!("/{path}")).is_err());
        }
        let refused = call("GET", "/api/batches/x").unwrap_err();
        assert_eq!(refused.message, "batch not found");
    }
}
