-- Notices of providers reach whom they are about, or are kept.

-- Passages of functions that stay as they are otherwise. inbound_load says each account's number, by which the reader finds whom a
-- notice is about.
do $$
declare
    f     record;
    v_new text;
begin
    for f in
        select x.name, x.old, x.new, p.oid
          from (values
                ('inbound_load',
                 'a.id as account_id
                  from',
                 'a.id as account_id, a.sender
                  from'),
                ('store_account_notices',
                 'join communications.channel_accounts a on a.tenant_id = s.tenant_id and a.id = s.account_id
         where s.display_phone_number is null
            or regexp_replace(s.display_phone_number, ''\D'', '''', ''g'') = regexp_replace(a.sender, ''\D'', '''', ''g'')),',
                 'order by s.tenant_id, s.account_id, s.raw_hash),'))
               as x (name, old, new)
          left join pg_proc p on p.pronamespace = 'communications'::regnamespace and p.proname = x.name
    loop
        v_new := replace(pg_get_functiondef(f.oid), f.old, f.new);
        if v_new is null or v_new = pg_get_functiondef(f.oid) then
            raise exception 'nothing to replace in %', f.name;
        end if;
        execute v_new;
    end loop;
end
$$;
