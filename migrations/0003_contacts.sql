-- The people. One contact has any number of aliases; the aliases decide who somebody is.
create table communications.contacts (
    tenant_id             uuid not null,
    id                    uuid not null,
    kind                  text not null default 'CUSTOMER' check (kind in ('CUSTOMER', 'DRIVER', 'VENDOR')),
    display_name          text,
    locale                text,
    timezone              text,
    -- The readable face of contact_identities, kept by its trigger: {"phone": ["+34..."], "wa_id": ["34..."]}.
    identifiers           jsonb not null default '{}',
    -- Soft links into the pillars: no foreign key crosses a context.
    passenger_profile_id  uuid,
    driver_id             uuid,
    vendor_id             uuid,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    primary key (tenant_id, id),
    constraint contacts_one_profile check (num_nonnulls(passenger_profile_id, driver_id, vendor_id) <= 1)
);

create unique index contacts_passenger_profile_key on communications.contacts (tenant_id, passenger_profile_id)
    where passenger_profile_id is not null;
create unique index contacts_driver_key on communications.contacts (tenant_id, driver_id)
    where driver_id is not null;
create unique index contacts_vendor_key on communications.contacts (tenant_id, vendor_id)
    where vendor_id is not null;

create trigger set_updated_at before update on communications.contacts
    for each row execute function communications.set_updated_at();

-- scope separates ids that mean nothing outside it: a business-scoped user id belongs to a WABA. Empty elsewhere.
create table communications.contact_identities (
    tenant_id      uuid not null,
    kind           text not null check (kind in ('phone', 'wa_id', 'bsuid', 'parent_bsuid', 'email', 'visitor')),
    scope          text not null default '',
    value          text not null check (value <> ''),
    contact_id     uuid not null,
    first_seen_at  timestamptz not null default now(),
    primary key (tenant_id, kind, scope, value),
    foreign key (tenant_id, contact_id) references communications.contacts (tenant_id, id),
    constraint contact_identities_phone_e164 check (kind <> 'phone' or value ~ '^\+[1-9][0-9]{6,14}$'),
    constraint contact_identities_email_lower check (kind <> 'email' or value = lower(value))
);

create index contact_identities_contact on communications.contact_identities (tenant_id, contact_id);

-- The face of all these contacts, in one statement.
create function communications.refresh_identifiers(tenant_ids uuid[], contact_ids uuid[]) returns void
    language sql as
$$
    update communications.contacts c
       set identifiers = coalesce((
               select jsonb_object_agg(k.kind, k.values)
                 from (select i.kind, jsonb_agg(i.value order by i.first_seen_at, i.value) as values
                         from communications.contact_identities i
                        where i.tenant_id = c.tenant_id and i.contact_id = c.id
                        group by i.kind) k), '{}')
      from (select distinct * from unnest(tenant_ids, contact_ids) as t(tenant_id, contact_id)) t
     where c.tenant_id = t.tenant_id and c.id = t.contact_id;
$$;

create function communications.refresh_contact_identifiers() returns trigger
    language plpgsql as
$$
begin
    perform communications.refresh_identifiers(array_agg(tenant_id), array_agg(contact_id)) from touched;
    return null;
end
$$;

create trigger refresh_identifiers_insert after insert on communications.contact_identities
    referencing new table as touched
    for each statement execute function communications.refresh_contact_identifiers();
create trigger refresh_identifiers_delete after delete on communications.contact_identities
    referencing old table as touched
    for each statement execute function communications.refresh_contact_identifiers();

-- An alias that moves touches two contacts.
create function communications.refresh_contact_identifiers_moved() returns trigger
    language plpgsql as
$$
begin
    perform communications.refresh_identifiers(array_agg(tenant_id), array_agg(contact_id))
       from (select tenant_id, contact_id from before union all select tenant_id, contact_id from after) moved;
    return null;
end
$$;

create trigger refresh_identifiers_update after update on communications.contact_identities
    referencing old table as before new table as after
    for each statement execute function communications.refresh_contact_identifiers_moved();

-- Whoever edits the face alone would be contradicted by the next alias: say so instead.
create function communications.protect_contact_identifiers() returns trigger
    language plpgsql as
$$
begin
    if pg_trigger_depth() = 1 then
        raise exception 'contacts.identifiers follows contact_identities: change the aliases there'
            using errcode = 'restrict_violation', constraint = 'contacts_identifiers_derived';
    end if;
    return new;
end
$$;

create trigger protect_identifiers before update of identifiers on communications.contacts
    for each row when (old.identifiers is distinct from new.identifiers)
    execute function communications.protect_contact_identifiers();

-- What somebody agreed to. A ledger: the newest row for (contact, channel, category) is in force.
create table communications.consents (
    tenant_id   uuid not null,
    id          uuid not null,
    contact_id  uuid not null,
    channel     text not null check (channel in ('WHATSAPP', 'EMAIL', 'SMS', 'WEBCHAT')),
    category    text not null check (category in ('OTP', 'TRANSACTIONAL', 'MARKETING', 'SERVICE')),
    granted     boolean not null,
    basis       text not null,
    source      text not null,
    at          timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, contact_id) references communications.contacts (tenant_id, id)
);

create index consents_current on communications.consents (tenant_id, contact_id, channel, category, at desc, id desc);

create trigger append_only before update on communications.consents
    for each row execute function communications.reject_update();

create view communications.current_consents as
    select distinct on (tenant_id, contact_id, channel, category)
           tenant_id, contact_id, channel, category, granted, basis, source, at
      from communications.consents
     order by tenant_id, contact_id, channel, category, at desc, id desc;

-- May we write? Marketing needs a yes; the rest needs the absence of a no. Answering somebody (SERVICE) needs neither:
-- they wrote to us. Asked at intake and again inside the claim.
create function communications.consent_allows(
    p_tenant_id uuid, p_contact_id uuid, p_channel text, p_category text
) returns boolean
    language sql stable parallel safe
    return case p_category
        when 'SERVICE' then true
        else coalesce(
            (select c.granted
               from communications.consents c
              where c.tenant_id = p_tenant_id and c.contact_id = p_contact_id
                and c.channel = p_channel and c.category = p_category
              order by c.at desc, c.id desc
              limit 1),
            p_category <> 'MARKETING')
    end;
