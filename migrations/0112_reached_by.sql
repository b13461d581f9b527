-- A mail is of the account that it reached where people read, unless it answers one by a signed token or its headers; a mail that names a mail
-- of somebody who sends by SES finds it; what Meta reconnects stands in the account's history as the provider's doing.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('mail_load', $f$               'account_id', coalesce(answered.account_id, o.account_id),
$f$,
$f$               'account_id', coalesce(answered.account_id, o.account_id),
               -- And the one that it came to, where no address of it names a message.
               'reached', coalesce((select c.account_id from candidates c
                                     where c.tenant_id = o.tenant_id and c.claimed is null
                                     order by c.created_at, c.account_id limit 1), o.account_id),
$f$),
            ('meet_neighbours', $f$                -- Each by the index, also where the plan was made before there were any.
$f$,
$f$                cross join unnest(array [new.rfc_message_id,
                                         substring(new.rfc_message_id from '(?i)^(.+)@(?:.+[.])?amazonses[.]com(?:[.]cn)?$')]) as named (id)
                -- Each by the index, also where the plan was made before there were any.
$f$),
            ('meet_neighbours', $f$a.account_id = c.id and a.reply_to = new.rfc_message_id
$f$,
$f$a.account_id = c.id and a.reply_to = named.id
$f$),
            ('record_account_history', $f$        when old.status = 'SUSPENDED' and new.status = 'ACTIVE'$f$,
$f$        when old.status in ('SUSPENDED', 'REAUTH_REQUIRED') and new.status = 'ACTIVE'$f$)) as x (name, old, new)
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
