-- Which news of a number is newer, the provider's clock says and not the order in which it comes: who came back to a number kept it only
-- if they were told to have left it before, and who was told late to have moved to one took it from who came to it since.
alter table communications.contact_identities add column gained_at timestamptz;
comment on column communications.contact_identities.gained_at is
    'The provider''s newest news that the number is its owner''s, by the provider''s clock; older news takes it from nobody.';

do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('people_load', 'select i.contact_id as id from communications.contact_identities i',
             'select i.contact_id as id, i.gained_at from communications.contact_identities i'),
            ('people_load', 'from (select a.*, c.*
', 'from (select a.*, c.*, owner.gained_at
'),
            ('people_store', '    if p ? ''known'' then
', '    if p ? ''gained'' then
        update communications.contact_identities i
           set gained_at = g.at
          from (select tenant_id, kind, scope, value, contact_id, max(at) as at
                  from jsonb_to_recordset(p -> ''gained'')
                       as g (tenant_id uuid, kind text, scope text, value text, contact_id uuid, at timestamptz)
                 group by tenant_id, kind, scope, value, contact_id) g
         where i.tenant_id = g.tenant_id and i.kind = g.kind and i.scope = g.scope and i.value = g.value
           and i.contact_id = g.contact_id and (i.gained_at is null or i.gained_at < g.at);
    end if;
    if p ? ''known'' then
')) as x (name, old, new)
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
