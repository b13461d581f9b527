-- Where the operator took our app away, they have to connect it again: the account is REAUTH_REQUIRED, and not one that a person could resume.
do $$
declare
    f     record;
    v_old text;
    v_new text;
begin
    for f in
        select * from (values
            ('store_account_notices', $f$event text, change text, word text,
                    alert boolean,$f$,
$f$event text, change text, word text,
                    disconnected boolean, alert boolean,$f$),
            ('store_account_notices', $f$               max(e.word) filter (where e.change = 'SUSPENDED') as reason,
$f$,
$f$               max(e.word) filter (where e.change = 'SUSPENDED') as reason,
               bool_or(e.disconnected) filter (where e.change = 'SUSPENDED') is true as disconnected,
$f$),
            ('store_account_notices', $f$           set status = case when c.state = 'SUSPENDED' and a.status in ('ACTIVE', 'REAUTH_REQUIRED') then 'SUSPENDED'
                             -- Only what a notice suspended is reinstated by one.
                             when c.state = 'REINSTATED' and a.status = 'SUSPENDED' and a.status_reason like 'provider: %' then 'ACTIVE'
$f$,
$f$           set status = case when c.state = 'SUSPENDED' and a.status in ('ACTIVE', 'REAUTH_REQUIRED', 'SUSPENDED')
                             then case when c.disconnected then 'REAUTH_REQUIRED' else 'SUSPENDED' end
                             -- Only what a notice stopped is reinstated by one.
                             when c.state = 'REINSTATED' and a.status in ('SUSPENDED', 'REAUTH_REQUIRED') and a.status_reason like 'provider: %'
                             then 'ACTIVE'
$f$),
            ('store_account_notices', $f$                                    when c.state = 'REINSTATED' and a.status = 'SUSPENDED' and a.status_reason like 'provider: %' then null
$f$,
$f$                                    when c.state = 'REINSTATED' and a.status in ('SUSPENDED', 'REAUTH_REQUIRED')
                                         and a.status_reason like 'provider: %' then null
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
