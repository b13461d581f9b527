-- Who carried out a run that was handed over: the API client, whose own repeats get the whole answer.
alter table communications.trigger_runs
    add column carried_out_by uuid;
