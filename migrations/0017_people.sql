-- Who somebody is: one call finds and locks, the service decides, one call writes.

-- The contact that this one is now: itself, unless it was taken up by another.
create function communications.living_contact(p_tenant uuid, p_contact uuid) returns uuid
    language sql stable
as $$
    with recursive chain as (
        select c.id, c.merged_into from communications.contacts c where c.tenant_id = p_tenant and c.id = p_contact
        union all
        select c.id, c.merged_into
          from chain join communications.contacts c on c.tenant_id = p_tenant and c.id = chain.merged_into)
    select id from chain where merged_into is null;
$$;

-- The lock of an alias (kind, scope, value) or of a profile ('profile', its id). Whoever needs several takes them in the order
-- of their numbers. One of 1,024: a payload with a thousand people must not use up the server's table of locks, and two people who
-- share one wait for each other for a moment.
create function communications.person_lock(variadic p_parts text[]) returns bigint
    language sql immutable parallel safe
    return hashtextextended(array_to_string(p_parts, '/'), 0) & 1023;

-- Elements: {"n", "tenant_id", "aliases": [[kind, scope, value], ...], "profile"}; the aliases with all their forms. Every alias
-- and profile is locked until the transaction ends, in one order for everybody, so that two callers never wait for each other
-- crosswise.
-- → {"aliases": [{"tenant_id", "kind", "scope", "value", "contact_id", "link", "incomplete"}], "former": [{"tenant_id", "kind",
-- "scope", "value", "contact_id", "until"}], "profiles": [{"tenant_id", "profile", "contact_id"}]}
create function communications.people_load(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_aliases  jsonb;
    v_former   jsonb;
    v_profiles jsonb;
begin
    perform pg_advisory_xact_lock(k.hash)
       from (select communications.person_lock(s ->> 'tenant_id', a ->> 0, a ->> 1, a ->> 2) as hash
               from jsonb_array_elements(p) as s, jsonb_array_elements(s -> 'aliases') as a
             union
             select communications.person_lock(s ->> 'tenant_id', 'profile', s ->> 'profile')
               from jsonb_array_elements(p) as s where s ->> 'profile' is not null
             order by 1) k;

    select jsonb_agg(to_jsonb(f)) into v_aliases
      from (select distinct i.tenant_id, i.kind, i.scope, i.value, c.id as contact_id,
                   coalesce(c.passenger_profile_id, c.driver_id, c.vendor_id, case when exists (
                       select from communications.contact_identities x
                        where x.tenant_id = c.tenant_id and x.contact_id = c.id and x.kind <> 'email') then c.id end) as link,
                   c.display_name is null or c.locale is null or c.timezone is null
                       or num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) = 0 as incomplete
              from jsonb_array_elements(p) as s
             cross join jsonb_array_elements(s -> 'aliases') as a
              join communications.contact_identities i
                on i.tenant_id = (s ->> 'tenant_id')::uuid and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2
              join communications.contacts o on o.tenant_id = i.tenant_id and o.id = i.contact_id
              join communications.contacts c
                on c.tenant_id = o.tenant_id
               and c.id = case when o.merged_into is null then o.id else communications.living_contact(o.tenant_id, o.id) end) f;

    select jsonb_agg(to_jsonb(f)) into v_former
      from (select distinct h.tenant_id, h.kind, h.scope, h.value,
                   communications.living_contact(h.tenant_id, h.contact_id) as contact_id, h.until
              from jsonb_array_elements(p) as s
             cross join jsonb_array_elements(s -> 'aliases') as a
              join communications.contact_former_identities h
                on h.tenant_id = (s ->> 'tenant_id')::uuid and h.kind = a ->> 0 and h.scope = a ->> 1 and h.value = a ->> 2) f;

    select jsonb_agg(to_jsonb(f)) into v_profiles
      from (select distinct c.tenant_id, c.passenger_profile_id as profile,
                   case when c.merged_into is null then c.id else communications.living_contact(c.tenant_id, c.id) end as contact_id
              from jsonb_array_elements(p) as s
              join communications.contacts c
                on c.tenant_id = (s ->> 'tenant_id')::uuid and c.passenger_profile_id = (s ->> 'profile')::uuid) f;

    return jsonb_build_object(
        'aliases', coalesce(v_aliases, '[]'), 'former', coalesce(v_former, '[]'), 'profiles', coalesce(v_profiles, '[]'));
end
$$;

-- Evidence that two contacts are one person: {"tenant_id", "contact_a", "contact_b", "times", "evidence"}. One open review a
-- pair. What somebody has dismissed is not asked again for the same evidence.
create function communications.open_reviews(p jsonb) returns void
    language sql
as $$
    insert into communications.contact_reviews as r (tenant_id, id, contact_a, contact_b, evidence, times_seen)
    select d.tenant_id, communications.uuid_v7(), d.contact_a, d.contact_b, d.evidence, d.times
      from jsonb_to_recordset(p) as d (tenant_id uuid, contact_a uuid, contact_b uuid, times integer, evidence jsonb)
     where not exists (select from communications.contact_reviews old
                        where old.tenant_id = d.tenant_id and old.contact_a = d.contact_a and old.contact_b = d.contact_b
                          and old.resolution = 'DISMISSED' and old.evidence @> d.evidence)
     order by d.tenant_id, d.contact_a, d.contact_b
    on conflict (tenant_id, contact_a, contact_b) where resolution is null do update
       set times_seen = r.times_seen + excluded.times_seen,
           last_seen_at = now(),
           evidence = (select jsonb_agg(distinct e) from jsonb_array_elements(r.evidence || excluded.evidence) as e);
$$;

-- Writes what contacts::decide decided: people first, then the numbers that they gave up, then what they have now.
create function communications.people_store(p jsonb) returns void
    language plpgsql
as $$
begin
    if p ? 'created' then
        insert into communications.contacts (tenant_id, id, display_name, locale, timezone, passenger_profile_id)
        select tenant_id, contact_id, name, locale, timezone, profile
          from jsonb_to_recordset(p -> 'created')
               as c (tenant_id uuid, contact_id uuid, name text, locale text, timezone text, profile uuid);
    end if;
    if p ? 'given_up' then
        -- Before the aliases: the next owner may be in the same payload.
        insert into communications.contact_former_identities (tenant_id, kind, scope, value, contact_id, until, first_seen_at)
        select g.tenant_id, g.kind, g.scope, g.value, g.contact_id, g.at, coalesce(i.first_seen_at, now())
          from jsonb_to_recordset(p -> 'given_up')
               as g (tenant_id uuid, kind text, scope text, value text, contact_id uuid, at timestamptz)
          left join communications.contact_identities i
            on i.tenant_id = g.tenant_id and i.kind = g.kind and i.scope = g.scope and i.value = g.value
        on conflict on constraint contact_former_identities_pkey do nothing;
        delete from communications.contact_identities i
         using jsonb_to_recordset(p -> 'given_up') as g (tenant_id uuid, kind text, scope text, value text)
         where i.tenant_id = g.tenant_id and i.kind = g.kind and i.scope = g.scope and i.value = g.value;
    end if;
    if p ? 'aliases' then
        insert into communications.contact_identities (tenant_id, kind, scope, value, contact_id, learned_from)
        select tenant_id, kind, scope, value, contact_id, learned_from
          from jsonb_to_recordset(p -> 'aliases')
               as a (tenant_id uuid, kind text, scope text, value text, contact_id uuid, learned_from text);
    end if;
    if p ? 'known' then
        -- A contact known by its number alone learns its name, its language and its profile; what it has is never replaced.
        with seen as (
            select distinct on (tenant_id, contact_id) *
              from jsonb_to_recordset(p -> 'known')
                   as k (tenant_id uuid, contact_id uuid, name text, locale text, timezone text, profile uuid)
             order by tenant_id, contact_id)
        update communications.contacts c
           set display_name = coalesce(c.display_name, s.name),
               locale = coalesce(c.locale, s.locale),
               timezone = coalesce(c.timezone, s.timezone),
               passenger_profile_id = case
                   when num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) > 0 then c.passenger_profile_id
                   when exists (select from communications.contacts other
                                 where other.tenant_id = s.tenant_id and other.passenger_profile_id = s.profile) then null
                   else s.profile end
          from seen s
         where c.tenant_id = s.tenant_id and c.id = s.contact_id
           and (c.display_name is null and s.name is not null
                or c.locale is null and s.locale is not null
                or c.timezone is null and s.timezone is not null
                or num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) = 0 and s.profile is not null);
    end if;
    if p ? 'reviews' then
        perform communications.open_reviews(p -> 'reviews');
    end if;
end
$$;

-- What a report says of its recipient: {"tenant_id", "contact_id", "address", "aliases"}. What nobody has becomes an alias of
-- whom the message went to; what somebody else has opens a review. Messages are locked by now, so nothing may be waited for:
-- an alias that is being decided about elsewhere is left for the next report.
create function communications.learn_aliases(p jsonb) returns void
    language plpgsql
as $$
begin
    -- Nearly always everything is known.
    if not exists (select from jsonb_to_recordset(p) as s (tenant_id uuid, contact_id uuid, aliases jsonb)
                    cross join jsonb_array_elements(s.aliases) as a
                    where not exists (select from communications.contact_identities i
                                       where i.tenant_id = s.tenant_id and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2
                                         and i.contact_id = s.contact_id)) then
        return;
    end if;

    with said as materialized (
        select distinct on (s.tenant_id, a ->> 0, a ->> 1, a ->> 2)
               s.tenant_id, a ->> 0 as kind, a ->> 1 as scope, a ->> 2 as value, s.address,
               communications.living_contact(s.tenant_id, s.contact_id) as contact_id
          from jsonb_to_recordset(p) as s (tenant_id uuid, contact_id uuid, address text, aliases jsonb)
         cross join jsonb_array_elements(s.aliases) as a),
    free as materialized (
        select s.* from said s
         where not exists (select from communications.contact_identities i
                            where i.tenant_id = s.tenant_id and i.kind = s.kind and i.scope = s.scope and i.value = s.value)
           and not exists (select from communications.contact_former_identities h
                            where h.tenant_id = s.tenant_id and h.kind = s.kind and h.scope = s.scope and h.value = s.value
                              and communications.living_contact(h.tenant_id, h.contact_id) = s.contact_id)),
    locked as materialized (
        select f.*, pg_try_advisory_xact_lock(communications.person_lock(f.tenant_id::text, f.kind, f.scope, f.value)) as taken
          from free f)
    insert into communications.contact_identities (tenant_id, kind, scope, value, contact_id, learned_from)
    select tenant_id, kind, scope, value, contact_id, address from locked where taken
    on conflict do nothing;

    perform communications.open_reviews(jsonb_agg(to_jsonb(d)))
       from (select c.tenant_id, least(c.contact_id, c.other) as contact_a, greatest(c.contact_id, c.other) as contact_b,
                    count(distinct c.address) as times,
                    jsonb_agg(distinct jsonb_build_object('kind', c.kind, 'value', c.value, 'contact_id', c.other))
                        || jsonb_agg(distinct jsonb_build_object('kind', 'address', 'value', c.address, 'contact_id', c.contact_id))
                        as evidence
               from (select s.tenant_id, s.address, i.kind, i.value,
                            communications.living_contact(s.tenant_id, s.contact_id) as contact_id,
                            communications.living_contact(i.tenant_id, i.contact_id) as other
                       from jsonb_to_recordset(p) as s (tenant_id uuid, contact_id uuid, address text, aliases jsonb)
                      cross join jsonb_array_elements(s.aliases) as a
                       join communications.contact_identities i
                         on i.tenant_id = s.tenant_id and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2
                        and i.contact_id <> s.contact_id
                      where not exists (select from communications.contact_former_identities h
                                         where h.tenant_id = i.tenant_id and h.kind = i.kind and h.scope = i.scope
                                           and h.value = i.value and h.contact_id = s.contact_id)) c
              where c.contact_id <> c.other
              group by c.tenant_id, least(c.contact_id, c.other), greatest(c.contact_id, c.other)) d
     having count(*) > 0;
end
$$;
