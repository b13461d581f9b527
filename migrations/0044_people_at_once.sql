-- Very many people at once, as a batch's step brings them.

-- An alias has a lock of its own. With one of 1,024, a step of a batch held most of them: the next step waited for it, and so did two
-- customers in three who wrote meanwhile. A transaction takes as many as it has aliases, out of the server's table of
-- max_connections * max_locks_per_transaction, which is why steps stay small. STABLE, as what it calls is: IMMUTABLE, it could not be
-- taken into the statements that call it.
create or replace function communications.person_lock(variadic p_parts text[]) returns bigint
    language sql stable parallel safe
    return hashtextextended(array_to_string(p_parts, '/'), 0);

-- As in 0017, the question read once. Each look-up is a subquery of its own, which only an index can answer: as joins, planned while the
-- tables were small and kept by the session, they went through all contacts for each alias.
create or replace function communications.people_load(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_tenants  uuid[];
    v_kinds    text[];
    v_scopes   text[];
    v_values   text[];
    v_hosts    uuid[];
    v_ids      uuid[];
    v_aliases  jsonb;
    v_former   jsonb;
    v_profiles jsonb;
begin
    select array_agg(a.tenant_id), array_agg(a.kind), array_agg(a.scope), array_agg(a.value)
      into v_tenants, v_kinds, v_scopes, v_values
      from (select distinct (s ->> 'tenant_id')::uuid as tenant_id, a ->> 0 as kind, a ->> 1 as scope, a ->> 2 as value
              from jsonb_array_elements(p) as s cross join jsonb_array_elements(s -> 'aliases') as a) a;
    if p @? '$[*].profile ? (@ != null)' then
        select array_agg(s.tenant_id), array_agg(s.profile) into v_hosts, v_ids
          from (select distinct s.tenant_id, s.profile from jsonb_to_recordset(p) as s (tenant_id uuid, profile uuid)
                 where s.profile is not null) s;
    end if;

    perform pg_advisory_xact_lock(k.hash)
       from (select communications.person_lock(a.tenant_id::text, a.kind, a.scope, a.value) as hash
               from unnest(v_tenants, v_kinds, v_scopes, v_values) as a (tenant_id, kind, scope, value)
             union
             select communications.person_lock(s.tenant_id::text, 'profile', s.id::text)
               from unnest(v_hosts, v_ids) as s (tenant_id, id)
             order by 1) k;

    select jsonb_agg(to_jsonb(f)) into v_aliases
      from (select a.*, c.*
              from unnest(v_tenants, v_kinds, v_scopes, v_values) as a (tenant_id, kind, scope, value)
             cross join lateral (
                   select i.contact_id as id from communications.contact_identities i
                    where i.tenant_id = a.tenant_id and i.kind = a.kind and i.scope = a.scope and i.value = a.value
                    limit 1) owner
             cross join lateral (
                   select case when o.merged_into is null then o.id else communications.living_contact(o.tenant_id, o.id) end as id
                     from communications.contacts o where o.tenant_id = a.tenant_id and o.id = owner.id
                    limit 1) living
             cross join lateral (
                   select c.id as contact_id,
                          coalesce(c.passenger_profile_id, c.driver_id, c.vendor_id, case when exists (
                              select from communications.contact_identities x
                               where x.tenant_id = c.tenant_id and x.contact_id = c.id and x.kind <> 'email') then c.id end) as link,
                          c.display_name is null or c.locale is null or c.timezone is null
                              or num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) = 0 as incomplete
                     from communications.contacts c where c.tenant_id = a.tenant_id and c.id = living.id
                    limit 1) c) f;

    select jsonb_agg(to_jsonb(f)) into v_former
      from (select a.*, h.*
              from unnest(v_tenants, v_kinds, v_scopes, v_values) as a (tenant_id, kind, scope, value)
             cross join lateral (
                   select distinct communications.living_contact(h.tenant_id, h.contact_id) as contact_id, h.until
                     from communications.contact_former_identities h
                    where h.tenant_id = a.tenant_id and h.kind = a.kind and h.scope = a.scope and h.value = a.value) h) f;

    if v_ids is not null then
        select jsonb_agg(to_jsonb(f)) into v_profiles
          from (select s.tenant_id, s.id as profile, c.contact_id
                  from unnest(v_hosts, v_ids) as s (tenant_id, id)
                 cross join lateral (
                       select case when c.merged_into is null then c.id
                                   else communications.living_contact(c.tenant_id, c.id) end as contact_id
                         from communications.contacts c where c.tenant_id = s.tenant_id and c.passenger_profile_id = s.id
                        limit 1) c) f;
    end if;

    return jsonb_build_object(
        'aliases', coalesce(v_aliases, '[]'), 'former', coalesce(v_former, '[]'), 'profiles', coalesce(v_profiles, '[]'));
end
$$;

-- A statement that adds aliases brings the faces up to date that lack one of them: whoever was created with their face has it.
create function communications.refresh_faces_that_lack() returns trigger
    language plpgsql as
$$
begin
    perform communications.refresh_identifiers(array_agg(t.tenant_id), array_agg(t.contact_id))
       from touched t
      where not (select coalesce(c.identifiers -> t.kind ? t.value, false)
                   from communications.contacts c where c.tenant_id = t.tenant_id and c.id = t.contact_id)
     having count(*) > 0;
    return null;
end
$$;

drop trigger refresh_identifiers_insert on communications.contact_identities;
create trigger refresh_identifiers_insert after insert on communications.contact_identities
    referencing new table as touched
    for each statement execute function communications.refresh_faces_that_lack();

-- As in 0017; who is new is written with their face.
create or replace function communications.people_store(p jsonb) returns void
    language plpgsql
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set join_collapse_limit = 1
    set plan_cache_mode = force_generic_plan
as $$
declare
    v_faces jsonb;
begin
    if p ? 'created' then
        select jsonb_object_agg(f.contact_id, f.face) into v_faces
          from (select k.contact_id, jsonb_object_agg(k.kind, k.values) as face
                  from (select a.contact_id, a.kind, jsonb_agg(a.value order by a.value) as values
                          from jsonb_to_recordset(p -> 'aliases') as a (contact_id uuid, kind text, value text)
                         group by a.contact_id, a.kind) k
                 group by k.contact_id) f;
        insert into communications.contacts (tenant_id, id, display_name, locale, timezone, passenger_profile_id, identifiers)
        select tenant_id, contact_id, name, locale, timezone, profile, coalesce(v_faces -> contact_id::text, '{}')
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
        -- Not before: the checks of foreign keys would be planned anew for every row.
        if jsonb_array_length(p -> 'known') > 100 then
            perform set_config('plan_cache_mode', 'force_custom_plan', true);
        end if;
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

-- A long list is planned for what it is, here and in people_store: a plan that a session keeps is one for a handful.
create or replace function communications.find_people(p jsonb) returns jsonb
    language plpgsql
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set join_collapse_limit = 1
    set plan_cache_mode = force_generic_plan
as $$
begin
    if jsonb_array_length(p) > 100 then
        perform set_config('plan_cache_mode', 'force_custom_plan', true);
    end if;
    return communications.people_load(p);
end
$$;

-- consent_allows, asked for many: that one is too large to be taken into a statement, so each contact of a list costs a statement.
create function communications.consenting(p_tenant uuid, p_contacts uuid[], p_channels text[], p_category text)
    returns table (contact_id uuid, channel text)
    language sql stable parallel safe
as $$
    select p.contact_id, c.channel
      from unnest(p_contacts) as p (contact_id) cross join unnest(p_channels) as c (channel)
     where case p_category
           when 'SERVICE' then true
           else coalesce(
               (select g.granted
                  from communications.consents g
                 where g.tenant_id = p_tenant and g.contact_id = p.contact_id and g.channel = c.channel and g.category = p_category
                 order by g.at desc, g.id desc
                 limit 1),
               p_category <> 'MARKETING')
           end;
$$;
