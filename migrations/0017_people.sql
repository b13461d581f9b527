-- Who somebody is: one call finds and locks, the service decides, one call writes.

-- Elements: {"n", "tenant_id", "aliases": [[kind, scope, value], ...], "profile"}. Every alias and profile is locked until the
-- transaction ends, in one order for everybody, so that two callers never wait for each other crosswise.
-- → {"aliases": [{"tenant_id", "kind", "scope", "value", "contact_id", "link", "nameless"}], "profiles": [{"tenant_id",
-- "profile", "contact_id"}]}
create function communications.people_load(p jsonb) returns jsonb
    language plpgsql
as $$
declare
    v_aliases  jsonb;
    v_profiles jsonb;
begin
    perform pg_advisory_xact_lock(k.hash)
       from (select distinct hashtextextended(concat_ws('/', s ->> 'tenant_id', a ->> 0, a ->> 1, a ->> 2), 0) as hash
               from jsonb_array_elements(p) as s, jsonb_array_elements(s -> 'aliases') as a
             union
             select hashtextextended(concat_ws('/', s ->> 'tenant_id', 'profile', s ->> 'profile'), 0)
               from jsonb_array_elements(p) as s where s ->> 'profile' is not null
             order by 1) k;

    select jsonb_agg(to_jsonb(f)) into v_aliases
      from (select distinct i.tenant_id, i.kind, i.scope, i.value, i.contact_id,
                   coalesce(c.passenger_profile_id, c.driver_id, c.vendor_id, case when exists (
                       select from communications.contact_identities x
                        where x.tenant_id = c.tenant_id and x.contact_id = c.id and x.kind <> 'email') then c.id end) as link,
                   c.display_name is null or c.locale is null or c.timezone is null
                       or num_nonnulls(c.passenger_profile_id, c.driver_id, c.vendor_id) = 0 as incomplete
              from jsonb_array_elements(p) as s
             cross join jsonb_array_elements(s -> 'aliases') as a
              join communications.contact_identities i
                on i.tenant_id = (s ->> 'tenant_id')::uuid and i.kind = a ->> 0 and i.scope = a ->> 1 and i.value = a ->> 2
              join communications.contacts c on c.tenant_id = i.tenant_id and c.id = i.contact_id) f;

    select jsonb_agg(to_jsonb(f)) into v_profiles
      from (select distinct c.tenant_id, c.passenger_profile_id as profile, c.id as contact_id
              from jsonb_array_elements(p) as s
              join communications.contacts c
                on c.tenant_id = (s ->> 'tenant_id')::uuid and c.passenger_profile_id = (s ->> 'profile')::uuid) f;

    return jsonb_build_object('aliases', coalesce(v_aliases, '[]'), 'profiles', coalesce(v_profiles, '[]'));
end
$$;

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
    if p ? 'aliases' then
        insert into communications.contact_identities (tenant_id, kind, scope, value, contact_id)
        select tenant_id, kind, scope, value, contact_id
          from jsonb_to_recordset(p -> 'aliases') as a (tenant_id uuid, kind text, scope text, value text, contact_id uuid);
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
end
$$;

create function communications.learn_aliases(p jsonb) returns void
    language sql
as $$
    insert into communications.contact_identities (tenant_id, kind, scope, value, contact_id)
    select s.tenant_id, a ->> 0, a ->> 1, a ->> 2, s.contact_id
      from jsonb_to_recordset(p) as s (tenant_id uuid, contact_id uuid, aliases jsonb)
     cross join jsonb_array_elements(s.aliases) as a
    on conflict do nothing;
$$;
