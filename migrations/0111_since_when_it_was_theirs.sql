-- Whoever has left a number had it since the news by which they came to it: what is older than that is not theirs.
alter table communications.contact_former_identities add column since timestamptz;
comment on column communications.contact_former_identities.since is
    'The provider''s newest news, by its clock, that it was theirs; null: nobody knows since when.';

do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('people_load', $f$as contact_id, h.until
                     from$f$,
$f$as contact_id, h.until, h.since
                     from$f$),
            ('people_store', $f$(tenant_id, kind, scope, value, contact_id, until, first_seen_at)
        select g.tenant_id, g.kind, g.scope, g.value, g.contact_id, g.at, coalesce(i.first_seen_at, now())
          from jsonb_to_recordset(p -> 'given_up')
               as g (tenant_id uuid, kind text, scope text, value text, contact_id uuid, at timestamptz)
$f$,
$f$(tenant_id, kind, scope, value, contact_id, until, first_seen_at, since)
        select g.tenant_id, g.kind, g.scope, g.value, g.contact_id, g.at, coalesce(i.first_seen_at, now()), g.since
          from jsonb_to_recordset(p -> 'given_up')
               as g (tenant_id uuid, kind text, scope text, value text, contact_id uuid, at timestamptz, since timestamptz)
$f$)) as x (name, old, new)
    loop
        v_old := pg_get_functiondef(('communications.' || f.name)::regproc);
        v_new := replace(v_old, f.old, f.new);
        if v_new = v_old then
            raise exception 'nothing to replace in %: %', f.name, f.old;
        end if;
        execute v_new;
    end loop;
end
$$;
