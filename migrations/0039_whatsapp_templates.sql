-- Templates as Meta lists them, and which of ours may be sent.

alter table communications.channel_accounts
    -- When all templates of its business account were listed last; since then one that is not here is not at Meta.
    add column templates_synced_at timestamptz,
    -- When that was tried last.
    add column templates_tried_at timestamptz;

create index channel_accounts_templates on communications.channel_accounts (templates_tried_at nulls first)
    where channel = 'WHATSAPP' and status = 'ACTIVE';

-- What a complete list of a business account said, asked at p_at: elements as in store_template_notices. What is not in it was deleted,
-- unless a notice has said otherwise since. Answers how many were.
create function communications.store_template_list(p_tenant uuid, p_waba text, p_at timestamptz, p jsonb) returns integer
    language plpgsql
as $$
declare
    v_gone integer;
begin
    perform communications.store_template_notices(
        (select coalesce(jsonb_agg(t || jsonb_build_object('kind', 'TEMPLATE', 'tenant_id', p_tenant, 'waba_id', p_waba, 'at', p_at)), '[]')
           from jsonb_array_elements(p) as t));
    update communications.whatsapp_templates t
       set status = 'DELETED', reason = null, status_at = p_at, updated_at = now()
     where t.tenant_id = p_tenant and t.waba_id = p_waba and coalesce(t.status_at, '-infinity') < p_at
       and t.status is distinct from 'DELETED'
       and not exists (select from jsonb_to_recordset(p) as l (name text, language text)
                        where l.name = t.name and l.language = t.language);
    get diagnostics v_gone = row_count;
    update communications.channel_accounts a
       set templates_synced_at = p_at
     where a.tenant_id = p_tenant and a.channel = 'WHATSAPP' and a.waba_id = p_waba;
    return v_gone;
end
$$;

-- How many different placeholders the text of a template's BODY has; null where Meta's components are not known.
create function communications.template_parameters(p_components jsonb) returns integer
    language sql immutable parallel safe
as $$
    select case when jsonb_typeof(p_components) = 'array' then coalesce((
        select count(distinct m.name[1])::integer
          from jsonb_array_elements(p_components) as c
         cross join regexp_matches(c ->> 'text', '\{\{\s*(\w+)\s*\}\}', 'g') as m (name)
         where upper(c ->> 'type') = 'BODY'), 0) end
$$;

-- Which of the published templates for WhatsApp that a tenant uses, its own before the platform's, its numbers may send now.
-- approval: Meta's word; MISSING where Meta has none, UNKNOWN before the first list; PARAMETERS_DIFFER where ours fills in another number
-- of placeholders than Meta's has.
create view communications.notification_template_approvals as
    select u.tenant_id, u.account_id, u.template_id, u.trigger_event, u.locale, u.version, u.of_platform, u.whatsapp_name, u.whatsapp_language,
           u.meta_category, u.quality, u.reason, u.approval, u.approval in ('APPROVED', 'UNKNOWN') as may_be_sent
      from (select a.tenant_id, a.id as account_id, t.id as template_id, t.trigger_event, t.locale, t.version,
                   t.tenant_id <> a.tenant_id as of_platform,
                   t.whatsapp_template ->> 'name' as whatsapp_name, t.whatsapp_template ->> 'language' as whatsapp_language,
                   k.category as meta_category, k.quality, k.reason,
                   case when k.status is null and a.templates_synced_at is null then 'UNKNOWN'
                        when k.status is null then 'MISSING'
                        when k.status = 'APPROVED'
                             and communications.template_parameters(k.components)
                                 <> jsonb_array_length(coalesce(t.whatsapp_template -> 'body', '[]')) then 'PARAMETERS_DIFFER'
                        else k.status end as approval
              from communications.channel_accounts a
              join communications.notification_templates t
                on t.tenant_id in (a.tenant_id, communications.platform_tenant()) and t.channel = 'WHATSAPP' and t.status = 'PUBLISHED'
              left join communications.whatsapp_templates k
                on k.tenant_id = a.tenant_id and k.waba_id = a.waba_id
               and k.name = t.whatsapp_template ->> 'name' and k.language = t.whatsapp_template ->> 'language'
             where a.channel = 'WHATSAPP' and a.status <> 'DISABLED' and a.tenant_id <> communications.platform_tenant()
               and (t.tenant_id = a.tenant_id
                    or not exists (select from communications.notification_templates o
                                    where o.tenant_id = a.tenant_id and o.trigger_event = t.trigger_event and o.channel = t.channel
                                      and o.locale = t.locale and o.status = 'PUBLISHED'))) u;
