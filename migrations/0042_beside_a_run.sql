-- Requests that an orchestrator makes beside the run that it was given: each a run of its own, and all of one story.
alter table communications.trigger_runs
    -- The run that it adds to, which itself adds to none.
    add column beside_run_id uuid,
    add foreign key (tenant_id, beside_run_id) references communications.trigger_runs (tenant_id, id);

create index trigger_runs_beside on communications.trigger_runs (tenant_id, beside_run_id) where beside_run_id is not null;
