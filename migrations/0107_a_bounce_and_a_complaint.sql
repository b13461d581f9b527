-- A bounce and a complaint of one address are two things that end in two ways, so they are two rows; and a START counts for what is told of
-- before it, whoever said it and from whichever address of theirs.
alter table communications.suppressions
    drop constraint suppressions_pkey,
    add constraint suppressions_reason_check check (reason in ('BOUNCE', 'COMPLAINT')),
    add constraint suppressions_pkey primary key (tenant_id, channel, address, reason);

do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    -- A body that is half replaced reads as nothing.
    perform set_config('check_function_bodies', 'off', true);
    for f in
        select * from (values
            ('apply_reported', $f$        select distinct on (m.tenant_id, m.channel, m.address) m.tenant_id$f$,
$f$        select distinct on (m.tenant_id, m.channel, m.address, e.effect) m.tenant_id$f$),
            ('apply_reported', $f$           and case e.effect
               when 'COMPLAINT' then not exists (
                   select from communications.who_reads(m.tenant_id, m.contact_id, m.channel, m.address) who
                     join communications.consents c
                       on c.tenant_id = m.tenant_id and c.contact_id = who and c.channel = m.channel
                    where c.category = 'TRANSACTIONAL' and c.granted and c.at > e.at)
               else not exists (
$f$,
$f$           and not exists (
                   select from communications.who_reads(m.tenant_id, m.contact_id, m.channel, m.address) who
                     join communications.consents c
                       on c.tenant_id = m.tenant_id and c.contact_id = who and c.channel = m.channel
                    where c.category = 'TRANSACTIONAL' and c.granted and c.at > e.at)
           -- Said there by somebody who is not known to read there.
           and not exists (
                   select from communications.address_wishes w
                    where w.tenant_id = m.tenant_id and w.channel = m.channel and w.address = lower(m.address) and w.start_at > e.at)
           and (e.effect = 'COMPLAINT' or not exists (
$f$),
            ('apply_reported', $f$ and later.thread_at > e.at) end
$f$,
$f$ and later.thread_at > e.at))
$f$),
            ('apply_reported', $f$           -- COMPLAINT is the greater word, and either counts from the later of the two.
           set reason = greatest(suppressions.reason, excluded.reason),
               at = greatest(suppressions.at, excluded.at)
         where suppressions.reason <> excluded.reason or suppressions.at < excluded.at;
$f$,
$f$           set at = excluded.at where suppressions.at < excluded.at;
$f$)) as x (name, old, new)
    loop
        v_old := pg_get_functiondef(('communications.' || f.name)::regproc);
        v_new := replace(v_old, f.old, f.new);
        if v_new = v_old then
            raise exception 'nothing to replace in %: %', f.name, f.old;
        end if;
        execute v_new;
    end loop;
    perform set_config('check_function_bodies', 'on', true);
end
$$;
