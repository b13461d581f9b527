-- What waits for a row sees afterwards, in the statement that waited, the other rows as they were before. Where what is decided depends on
-- them, a statement of its own takes the locks first, in one order.
create or replace function communications.refresh_identifiers(tenant_ids uuid[], contact_ids uuid[]) returns void
    language plpgsql as $$
begin
    perform from communications.contacts c
      where (c.tenant_id, c.id) in (select t.tenant_id, t.contact_id from unnest(tenant_ids, contact_ids) as t (tenant_id, contact_id))
      order by c.tenant_id, c.id
        for no key update;
    update communications.contacts c
       set identifiers = coalesce((
               select jsonb_object_agg(k.kind, k.values)
                 from (select i.kind, jsonb_agg(i.value order by i.first_seen_at, i.value) as values
                         from communications.contact_identities i
                        where i.tenant_id = c.tenant_id and i.contact_id = c.id
                        group by i.kind) k), '{}')
      from (select distinct t.tenant_id, t.contact_id from unnest(tenant_ids, contact_ids) as t (tenant_id, contact_id)) t
     where c.tenant_id = t.tenant_id and c.id = t.contact_id;
end
$$;

do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('inbound_text', $f$       for update of v;
$f$,
$f$       for no key update of v;
$f$),
            ('inbound_texts', $f$limit 1 for update of v) v;$f$,
$f$limit 1 for no key update of v) v;$f$),
            ('store_messages', $f$          from arrived a
          left join communications.tenant_settings s on s.tenant_id = a.tenant_id
$f$,
$f$          from (select * from arrived order by tenant_id, contact_id) a
          left join communications.tenant_settings s on s.tenant_id = a.tenant_id
$f$),
            ('store_messages', $f$              limit 1 for update) c),$f$,
$f$              limit 1 for no key update) c),$f$),
            ('store_account_notices', $f$begin
    with said as ($f$,
$f$begin
    perform from communications.channel_accounts a
      where (a.tenant_id, a.id) in (select (n ->> 'tenant_id')::uuid, (n ->> 'account_id')::uuid
                                      from jsonb_array_elements(p) as n where n ->> 'kind' = 'ACCOUNT')
      order by a.tenant_id, a.id
        for no key update;
    with said as ($f$),
            ('apply_revisions', $f$begin
    with target as ($f$,
$f$begin
    perform from communications.conversations v
      where (v.tenant_id, v.id) in (
            select m.tenant_id, m.conversation_id
              from unnest(p_tenants, p_accounts, p_targets) as t (tenant_id, account_id, external_id)
              join communications.messages m
                on m.tenant_id = t.tenant_id and m.account_id = t.account_id and m.external_message_id = t.external_id)
      order by v.tenant_id, v.id
        for no key update;
    with target as ($f$),
            ('meet_neighbours', $f$                update communications.conversations v
                   set preview = case when v_change.kind$f$,
$f$                perform from communications.conversations v
                  where v.tenant_id = new.tenant_id and v.id = new.conversation_id for no key update;
                update communications.conversations v
                   set preview = case when v_change.kind$f$),
            ('copy_messages', $f$     order by m.id
$f$,
$f$     order by m.id
       for no key update of m
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
