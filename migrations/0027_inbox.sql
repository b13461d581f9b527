-- What agents do beside answering: read marks, masked contacts, what they may see; and free form that waited for too long.

-- Read is what had come when somebody said so, in the order of arrival: a message that comes late, with an old time of the
-- provider's, is new to the agent. The inserting transaction holds the thread, so the clock gives that order; now() would give
-- the order in which transactions began.
alter table communications.messages alter column created_at set default clock_timestamp();

-- The addresses of a masked contact are shown to nobody: agents answer them without seeing where it goes.
alter table communications.contacts add column masked boolean not null default false;

-- A merge must not show what was hidden, nor its undoing: whoever was masked, or was one with somebody masked, stays so.
create function communications.share_mask() returns trigger
    language plpgsql as
$$
begin
    if new.merged_into is not null and new.masked then
        update communications.contacts set masked = true
         where tenant_id = new.tenant_id and id = new.merged_into and not masked;
    elsif new.merged_into is null and not new.masked then
        new.masked := coalesce((select c.masked from communications.contacts c
                                 where c.tenant_id = new.tenant_id and c.id = old.merged_into), false);
    end if;
    return new;
end
$$;

create trigger share_mask before update of merged_into on communications.contacts
    for each row when (old.merged_into is distinct from new.merged_into)
    execute function communications.share_mask();

-- Hasura computed fields. They never raise, because one row's error would break the whole multiplexed subscription.
create function communications.message_address(message communications.messages) returns text
    language sql stable
    return case when exists (select from communications.contacts c
                              where c.tenant_id = message.tenant_id and c.id = message.contact_id and c.masked)
                then '•••' || case when message.address like '%@%' then '' else right(message.address, 2) end
                else message.address end;

-- {"phone": ["+34..."], "email": [...]}; null for a masked contact.
create function communications.contact_addresses(contact communications.contacts) returns jsonb
    language sql immutable
    return case when not contact.masked then contact.identifiers end;

alter table communications.tenant_settings
    -- Does a dispatcher see every conversation, or nobody's and their own?
    add column inbox_visibility text not null default 'ALL' check (inbox_visibility in ('ALL', 'MINE_AND_UNASSIGNED'));

-- Passages of functions that stay as they are otherwise. Merges count what was read in the order of arrival, too. And the claim
-- ends free form whose window closed while it waited (EXPIRED), instead of asking a provider that must refuse it;
-- communications.window_allows is written out: as a function it would run by itself for every row.
do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select p.oid, x.old, x.new
          from (values
                ('inbound_until', 'm.thread_at <= p_until', 'm.created_at <= p_until'),
                ('fold_thread', 'min(m.thread_at)', 'min(m.created_at)'),
                ('claim_messages',
                 'then ''SIMULATED''
                    else ''SENDING''',
                 'then ''SIMULATED''
                    when m.channel = ''WHATSAPP'' and m.content ->> ''type'' <> ''template'' and not exists (
                        select from communications.whatsapp_windows w
                         where w.tenant_id = m.tenant_id and w.account_id = m.account_id and w.contact_id = m.contact_id
                           and w.open_until > now()) then ''CLOSED''
                    else ''SENDING'''),
                ('claim_messages',
                 'when g.next <> ''SENDING'' then g.next',
                 'when g.next = ''CLOSED'' then ''EXPIRED''
                    when g.next <> ''SENDING'' then g.next'),
                ('claim_messages',
                 'deferrals = m.deferrals + (v.status = ''QUEUED'')::int',
                 'deferrals = m.deferrals + (v.status = ''QUEUED'')::int,
               failed_code = case when v.next = ''CLOSED'' then ''window-closed'' else m.failed_code end,
               failed_reason = case when v.next = ''CLOSED'' then ''more than 24 hours since the contact wrote''
                                    else m.failed_reason end'))
               as x (name, old, new)
          join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = x.name
    loop
        v_new := replace(pg_get_functiondef(f.oid), f.old, f.new);
        if v_new = pg_get_functiondef(f.oid) then
            raise exception 'nothing to replace in %', f.oid::regprocedure;
        end if;
        execute v_new;
    end loop;
end
$$;
