-- A message that arrives after all ends its whole chain, not only the next link.

do $$
declare
    v_was constant text := '    -- It arrived after all: what was to replace it and has not left yet stays here.
    update communications.messages later
       set status = ''CANCELLED'', failed_code = ''reached'', failed_reason = ''the message before it arrived after all''
      from unnest(v_tenants, v_ids, v_statuses) as p (tenant_id, id, status)
     where p.status in (''DELIVERED'', ''READ'') and later.tenant_id = p.tenant_id and later.fallback_of = p.id
       and later.status = ''QUEUED'' and (later.fallback_reason <> ''NOT_READ'' or p.status = ''READ'');
';
    v_becomes constant text := '    -- It arrived after all: of what was to replace it, at whatever remove, nothing leaves that has not left, and nothing follows what has.
    if exists (select from unnest(v_tenants, v_ids, v_statuses) as p (tenant_id, id, status)
                 join communications.messages m on m.tenant_id = p.tenant_id and m.fallback_of = p.id
                where p.status in (''DELIVERED'', ''READ'')) then
        with recursive later as (
            select m.tenant_id, m.id
              from unnest(v_tenants, v_ids, v_statuses) as p (tenant_id, id, status)
              join communications.messages m on m.tenant_id = p.tenant_id and m.fallback_of = p.id
             where p.status in (''DELIVERED'', ''READ'') and (m.fallback_reason <> ''NOT_READ'' or p.status = ''READ'')
            union all
            select m.tenant_id, m.id
              from later l join communications.messages m on m.tenant_id = l.tenant_id and m.fallback_of = l.id),
        ended as (
            delete from communications.message_fallbacks f
             using later l where f.tenant_id = l.tenant_id and f.message_id = l.id)
        update communications.messages m
           set status = ''CANCELLED'', failed_code = ''reached'', failed_reason = ''the message before it arrived after all''
          from later l
         where m.tenant_id = l.tenant_id and m.id = l.id and m.status = ''QUEUED'';
    end if;
';
    v_old text := pg_get_functiondef('communications.project_reports'::regproc);
begin
    if position(v_was in v_old) = 0 then
        raise exception 'nothing to replace in project_reports';
    end if;
    execute replace(v_old, v_was, v_becomes);
end
$$;
