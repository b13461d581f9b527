-- Providers count in seconds. Of a person's reactions to one message in the same second, one taken away was there before it was; of others
-- the one that came later counts.
create or replace function communications.store_reactions(p jsonb) returns void
    language sql
as $$
    insert into communications.message_reactions as m
        (tenant_id, account_id, target_external_id, contact_id, actor_kind, emoji, external_message_id, at)
    select distinct on (r.tenant_id, r.account_id, r.target, r.contact_id, r.actor_kind)
           r.tenant_id, r.account_id, r.target, r.contact_id, r.actor_kind, r.emoji, r.external_message_id, r.at
      from rows from (jsonb_to_recordset(p) as (tenant_id uuid, account_id uuid, target text, contact_id uuid, actor_kind text,
                                                emoji text, external_message_id text, at timestamptz))
           with ordinality as r (tenant_id, account_id, target, contact_id, actor_kind, emoji, external_message_id, at, n)
     order by r.tenant_id, r.account_id, r.target, r.contact_id, r.actor_kind, r.at desc, r.emoji = '' desc, r.n desc
    on conflict on constraint message_reactions_pkey do update
       set emoji = excluded.emoji, external_message_id = excluded.external_message_id, at = excluded.at
     where excluded.at > m.at
        or excluded.at = m.at and (excluded.emoji = '' or m.emoji <> '') and excluded.emoji <> m.emoji;
$$;
