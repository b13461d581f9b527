-- One order of locks for all: messages, then an account's breaker, then slots, then a month's spending, as the claim takes them; of several
-- threads by their contact; of several messages that come in, change or are reacted to in one payload by their lock.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('settle_messages', $f$begin
    with result as materialized ($f$,
$f$begin
    if exists (select from unnest(p_statuses, p_effects) as r (status, effect) where r.status = 'SENT' or r.effect <> '') then
        -- A claim that came too late may hold one of them, until it has its breaker.
        perform from unnest(p_tenants, p_ids) as p (tenant_id, id)
           join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.id
          order by m.tenant_id, m.id
            for no key update of m;
        perform from communications.breakers k
          where (k.tenant_id, k.account_id) in (
                select m.tenant_id, m.account_id from unnest(p_tenants, p_ids) as p (tenant_id, id)
                  join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.id)
          order by k.tenant_id, k.account_id
            for update;
    end if;
    if 'THROTTLE_PROVIDER' = any(p_effects) then
        perform from communications.rate_buckets b
          where b.tenant_id = communications.platform_tenant() and b.account_id = communications.platform_tenant()
            and b.subject in (
                select a.provider from unnest(p_tenants, p_ids) as p (tenant_id, id)
                  join communications.messages m on m.tenant_id = p.tenant_id and m.id = p.id
                  join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id)
          order by b.tenant_id, b.account_id, b.kind, b.subject
            for update;
    end if;
    with result as materialized ($f$),
            ('apply_revisions', $f$      order by v.tenant_id, v.id
        for no key update;
$f$,
$f$      order by v.tenant_id, v.contact_id, v.id
        for no key update;
$f$),
            ('inbound_store', $f$    if p ? 'messages' then
$f$,
$f$    -- Each of them locks its own in order; together they need one.
    if (p ? 'messages')::integer + (p ? 'reactions')::integer + (p ? 'revisions')::integer > 1 then
        perform pg_advisory_xact_lock(k.hash)
           from (select distinct communications.reaction_lock(r.tenant_id, r.account_id, coalesce(r.target, r.external_message_id)) as hash
                   from (values ('messages'), ('reactions'), ('revisions')) as kind (name)
                  cross join jsonb_to_recordset(coalesce(p -> kind.name, '[]')) as r (tenant_id uuid, account_id uuid, target text,
                                                                                      external_message_id text)
                  order by 1) k;
    end if;
    if p ? 'messages' then
$f$),
            ('claim_messages', $f$                             then greatest(g.open_until, now() + interval '1 second') end
$f$,
$f$                             then greatest(g.open_until, g.pair_free, now() + interval '1 second') end
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

-- A thread in which nobody has said anything is one without such a message, whatever the list shows of it: a mail may have no words.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('store_messages', $f$        select a.*, c.id, c.status, c.snoozed_until_reply
          from (select$f$,
$f$        select a.*, c.id, c.status, c.snoozed_until_reply,
               c.preview = '' and not exists (select from communications.messages m
                                               where m.tenant_id = a.tenant_id and m.conversation_id = c.id and not m.muted) as unspoken
          from (select$f$),
            ('store_messages', $f$             select c.id, c.status, c.snoozed_until_reply from communications.conversations c
$f$,
$f$             select c.id, c.status, c.snoozed_until_reply, c.preview from communications.conversations c
$f$),
            ('store_messages', $f$case when c.preview = '' and c.inbound_count = 0 then coalesce(a.last_at, c.last_message_at)$f$,
$f$case when a.unspoken then coalesce(a.last_at, c.last_message_at)$f$),
            ('store_messages', $f$case when a.last_at >= c.last_message_at or c.preview = '' then coalesce(a.preview, c.preview) else c.preview end$f$,
$f$case when a.last_at >= c.last_message_at or a.unspoken then coalesce(a.preview, c.preview) else c.preview end$f$),
            ('inbound_text', $f$and v.contact_id = c.id and v.status = 'OPEN'
$f$,
$f$and v.contact_id = c.id and v.status = 'OPEN' and v.preview <> ''
$f$),
            ('inbound_texts', $f$and v.contact_id = t.contact_id and v.status = 'OPEN'
$f$,
$f$and v.contact_id = t.contact_id and v.status = 'OPEN' and v.preview <> ''
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
