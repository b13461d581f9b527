-- A START gives back the yes to marketing that somebody gave before a full stop, also when that yes is told after the START.
create function communications.marketing_before(p_tenant uuid, p_contact uuid, p_channel text, p_at timestamptz) returns boolean
    language sql stable
return (select before.granted from communications.consents before
         where before.tenant_id = p_tenant and before.contact_id = p_contact
           and before.channel = p_channel and before.category = 'MARKETING' and before.at <= p_at
           and (before.granted
                or not exists (select from communications.consents stop
                                where stop.tenant_id = before.tenant_id and stop.contact_id = before.contact_id
                                  and stop.channel = before.channel and stop.category = 'TRANSACTIONAL'
                                  and not stop.granted and stop.at = before.at and stop.source = before.source))
         order by before.at desc, before.id desc limit 1);
comment on function communications.marketing_before(uuid, uuid, text, timestamptz) is
    'What somebody had said of marketing by then, full stops left out: what a START of then gives back. Null: nothing.';

create function communications.give_back_what_was_said(p jsonb) returns void
    language sql
as $$
    insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, address, at)
    select distinct on (start.id) start.tenant_id, communications.uuid_v7(), start.contact_id, start.channel, 'MARKETING', true,
           start.basis, start.source, start.address, start.at
      from jsonb_to_recordset(p) as w (tenant_id uuid, contact_id uuid, channel text, wish text, at timestamptz)
      join communications.consents start
        on start.tenant_id = w.tenant_id and start.contact_id = w.contact_id and start.channel = w.channel
       and start.category = 'TRANSACTIONAL' and start.granted and start.at > w.at
     where w.wish = 'START_MARKETING'
       and communications.marketing_before(start.tenant_id, start.contact_id, start.channel, start.at)
       and not exists (select from communications.consents said
                        where said.tenant_id = start.tenant_id and said.contact_id = start.contact_id and said.channel = start.channel
                          and said.category = 'MARKETING' and said.at between start.at and start.at + interval '1 microsecond')
     order by start.id;
$$;
comment on function communications.give_back_what_was_said(jsonb) is
    'Of wishes as note_wishes takes them: each yes to marketing is given back by the STARTs after it, as if it had been told first.';

-- And what a "stop promotions" stops, it stops by a moment: rows of one millisecond have their ids in any order.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('note_wishes_at_once', $f$            or (select before.granted from communications.consents before
                 where before.tenant_id = w.tenant_id and before.contact_id = w.contact_id
                   and before.channel = w.channel and before.category = 'MARKETING' and before.at <= w.at
                   and (before.granted
                        or not exists (select from communications.consents stop
                                        where stop.tenant_id = before.tenant_id and stop.contact_id = before.contact_id
                                          and stop.channel = before.channel and stop.category = 'TRANSACTIONAL'
                                          and not stop.granted and stop.at = before.at and stop.source = before.source))
                 order by before.at desc, before.id desc limit 1))
$f$,
$f$            or communications.marketing_before(w.tenant_id, w.contact_id, w.channel, w.at))
$f$),
            ('note_wishes', $f$    perform communications.stop_what_was_given_back(p);
$f$,
$f$    perform communications.give_back_what_was_said(p);
    perform communications.stop_what_was_given_back(p);
$f$),
            ('stop_what_was_given_back', $f$           lower(w.address), back.at
      from$f$,
$f$           lower(w.address), back.at + interval '1 microsecond'
      from$f$),
            ('stop_what_was_given_back', $f$not no.granted and no.at = back.at and no.id > back.id)$f$,
$f$not no.granted and no.at = back.at + interval '1 microsecond')$f$)) as x (name, old, new)
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
