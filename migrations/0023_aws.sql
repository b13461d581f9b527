-- What AWS tells us: reports that name no tenant, and mail. The tenant is found here and nowhere else.

-- Reports by SES, End User Messaging and the SMS logs: record_reports' elements, whose "account_id" is the account that our own tag
-- echoes, or null. The tag decides, then the message's id at the provider. → {"recorded": what record_reports answers,
-- "unknown": [places, from 0, of those whose message nobody has (yet)]}
create function communications.aws_reports(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_known   jsonb;
    v_unknown jsonb;
begin
    select jsonb_agg(r.value || jsonb_build_object('tenant_id', o.tenant_id, 'account_id', o.account_id) order by r.n)
               filter (where o.tenant_id is not null),
           jsonb_agg(r.n - 1 order by r.n) filter (where o.tenant_id is null)
      into v_known, v_unknown
      from jsonb_array_elements(p) with ordinality as r (value, n)
      left join lateral (
          select a.tenant_id, a.id as account_id, 1 as rank
            from communications.channel_accounts a
           where a.id = (r.value ->> 'account_id')::uuid
          union all
          select m.tenant_id, m.account_id, 2
            from communications.messages m
           where m.channel in ('EMAIL', 'SMS') and m.direction = 'OUTBOUND'
             and m.external_message_id = r.value ->> 'external_message_id'
           order by rank
           limit 1) o on true;
    return jsonb_build_object(
        'recorded', case when v_known is null then '{}' else communications.record_reports(v_known) end,
        'unknown', coalesce(v_unknown, '[]'));
end
$$;

-- A mail: {"recipients": [{"domain", "message_id"}], "answers": [provider's ids, nearest first], "aliases": [[kind, scope, value]]};
-- message_id is what the recipient's token claims, or null. One row for each tenant with an account for one of the domains, with the
-- message of that tenant that the mail answers: the token's before the headers'. A domain that several tenants share (one for the
-- whole platform) is whose message the token names, and nobody's without.
-- → {"owners": [{"tenant_id", "account_id", "alone", "token": message id | null, "answered": {...} | null}], "people": people_load's}
-- The token is a claim until its signature is checked for that tenant; "alone" says whether the domain would do without it.
create function communications.mail_load(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_owners jsonb;
    v_people jsonb;
begin
    with asked as (
        select distinct lower(r ->> 'domain') as domain, (r ->> 'message_id')::uuid as message_id
          from jsonb_array_elements(p -> 'recipients') as r),
    candidates as (
        select q.domain, q.message_id as claimed, a.tenant_id, a.id as account_id, a.created_at, m.id as message_id
          from asked q
          join communications.channel_accounts a
            on a.channel = 'EMAIL'
           and (a.external_account_id = q.domain or lower(a.provider_config #>> '{public,reply_domain}') = q.domain)
          left join communications.messages m on m.tenant_id = a.tenant_id and m.id = q.message_id and m.channel = 'EMAIL'),
    shared as (
        select domain from candidates group by domain having count(distinct tenant_id) > 1),
    owners as (
        select distinct on (c.tenant_id) c.tenant_id, c.account_id, c.message_id,
               bool_or(c.domain not in (select domain from shared)) over (partition by c.tenant_id) as alone
          from candidates c
         where c.message_id is not null or c.domain not in (select domain from shared)
         order by c.tenant_id, (c.message_id is not null) desc, c.created_at, c.account_id)
    select jsonb_agg(jsonb_build_object(
               'tenant_id', o.tenant_id,
               -- The account that wrote is the one that is answered.
               'account_id', coalesce(answered.account_id, o.account_id),
               'alone', o.alone,
               'token', o.message_id,
               'answered', to_jsonb(answered)) order by o.tenant_id)
      into v_owners
      from owners o
      left join lateral (
          select m.id as message_id, m.account_id, m.contact_id, m.address, m.external_message_id
            from communications.messages m
           where m.tenant_id = o.tenant_id and m.channel = 'EMAIL'
             and (m.id = o.message_id
                  or m.id in (select x.id from communications.messages x
                               where x.tenant_id = o.tenant_id and x.channel = 'EMAIL'
                                 and x.external_message_id in (select jsonb_array_elements_text(p -> 'answers')))
                  or m.id in (select x.id from communications.messages x
                               where x.tenant_id = o.tenant_id and x.rfc_message_id in (select jsonb_array_elements_text(p -> 'answers'))))
           order by (m.id = o.message_id) desc nulls last, m.thread_at desc, m.id desc
           limit 1) answered on true;

    if v_owners is not null and jsonb_array_length(p -> 'aliases') > 0 then
        select communications.people_load(jsonb_agg(jsonb_build_object(
                   'n', o.n - 1, 'tenant_id', o.value -> 'tenant_id', 'aliases', p -> 'aliases')))
          into v_people
          from jsonb_array_elements(v_owners) with ordinality as o (value, n);
    end if;
    return jsonb_build_object('owners', coalesce(v_owners, '[]'), 'people', coalesce(v_people, 'null'));
end
$$;
