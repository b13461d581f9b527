-- Runs that an orchestrator (n8n) is to carry out, and that go on without it when it does not in time.
alter table communications.trigger_runs
    drop constraint trigger_runs_status_check,
    add constraint trigger_runs_status_check check (status in ('COMPLETED', 'STALE', 'IGNORED', 'HANDED_OVER')),
    -- What to read of the host when it goes on here: {"subject", "id", "profile", "audiences"}.
    add column hand_off jsonb,
    add column deadline_at timestamptz,
    add constraint trigger_runs_handed_over check (status <> 'HANDED_OVER' or (hand_off is not null and deadline_at is not null));

create index trigger_runs_waiting on communications.trigger_runs (deadline_at) where status = 'HANDED_OVER';

-- How long an orchestrator has for a run of this rule.
alter table communications.notification_rules
    add column orchestrator_deadline interval not null default '60 seconds'
        check (orchestrator_deadline between interval '5 seconds' and interval '1 hour');
