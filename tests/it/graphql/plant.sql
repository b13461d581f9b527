-- One row or more of every tracked table for one tenant. What is told of the masked contact has 34699999 or hidden.example in it.
do $$
declare
    t        uuid := '{tenant}';
    me       uuid := '{agent}';
    other    uuid := '{colleague}';
    wa       uuid := '{account}';
    waba     text := '{waba}';
    n        text := '{n}';
    web      uuid := gen_random_uuid();
    plain    uuid := gen_random_uuid();
    hidden   uuid := gen_random_uuid();
    visitor  uuid := '{visitor}';
    stranger uuid := gen_random_uuid();
    mine     uuid := gen_random_uuid();
    nobodys  uuid := gen_random_uuid();
    theirs   uuid := gen_random_uuid();
    ended    uuid := gen_random_uuid();
    trip     uuid := gen_random_uuid();
    booking  uuid := gen_random_uuid();
    invoice  uuid := gen_random_uuid();
    profile  uuid := gen_random_uuid();
    secret   uuid := gen_random_uuid();
    run      uuid := gen_random_uuid();
    first    uuid := communications.uuid_v7();
    phone    text := '+346999990' || n || '77';
    wamid    text := 'wamid.346999990' || n || '77.';
begin
    insert into operations.passenger_profiles (id, tenant_id, full_name, phone, email, locale) values
        (profile, t, 'Ana ' || n, '+3460000000' || n, 'ana' || n || '@example.com', 'es'),
        (secret, t, 'Whoever ' || n, phone, 'who@hidden.example', 'en');
    insert into operations.trips (id, tenant_id, code, origin, destination, departure_at) values
        (trip, t, 'T-' || n, 'Madrid', 'Toledo', now());
    insert into operations.bookings (id, tenant_id, trip_id, reference, lead_passenger_profile_id) values
        (booking, t, trip, 'R-' || n, profile);
    insert into operations.invoices (id, tenant_id, booking_id, number, total, due_at) values
        (invoice, t, booking, 'I-' || n, 12.50, now());

    insert into communications.channel_accounts (tenant_id, id, channel, provider, status, display_name, sender) values
        (t, web, 'WEBCHAT', 'WEBCHAT', 'ACTIVE', 'Site ' || n, 'example.com');
    insert into communications.channel_account_history (tenant_id, account_id, what, before, after, by_kind, by_user) values
        (t, web, 'STATUS', 'VERIFYING', 'ACTIVE', 'USER', me);
    insert into communications.usage_daily (tenant_id, day, channel, category, messages, billable, units) values
        (t, '2026-11-23', 'WHATSAPP', 'UTILITY', 1, 1, 1);
    insert into communications.whatsapp_templates (tenant_id, waba_id, name, language, status, category, components) values
        (t, waba, 'hello_' || n, 'es', 'APPROVED', 'UTILITY', '[{"type": "BODY", "text": "Hola"}]'),
        (t, waba, 'old_' || n, 'es', 'REJECTED', 'MARKETING', '[]'),
        (t, 'another', 'elsewhere_' || n, 'es', 'APPROVED', 'UTILITY', '[]');

    insert into communications.contacts (tenant_id, id, display_name, locale, passenger_profile_id, masked) values
        (t, plain, 'Ana ' || n, 'es', profile, false), (t, hidden, 'Whoever ' || n, 'en', secret, true),
        (t, visitor, 'Visitor ' || n, null, null, false), (t, stranger, 'Stranger ' || n, null, null, false);
    insert into communications.contact_identities (tenant_id, kind, value, contact_id) values
        (t, 'phone', '+3460000000' || n, plain), (t, 'phone', phone, hidden), (t, 'email', 'who@hidden.example', hidden),
        (t, 'visitor', 'v-' || n, visitor);
    insert into communications.contact_reviews (tenant_id, id, contact_a, contact_b, evidence) values
        (t, gen_random_uuid(), least(plain, hidden), greatest(plain, hidden),
         jsonb_build_array(jsonb_build_object('kind', 'phone', 'value', phone)));
    insert into communications.contact_merges (tenant_id, id, kept_id, merged_id, moved, merged_by) values
        (t, gen_random_uuid(), hidden, stranger, jsonb_build_object('aliases', phone), me);
    insert into communications.whatsapp_windows (tenant_id, account_id, contact_id, open_until) values
        (t, wa, plain, now()), (t, wa, hidden, now() + interval '1 day');

    insert into communications.conversations
        (tenant_id, id, contact_id, status, assigned_to, last_message_at, last_inbound_channel, last_inbound_account, preview,
         inbound_count, booking_id, trip_id, invoice_id)
    values
        (t, mine, plain, 'OPEN', me, now() - interval '1 minute', 'WHATSAPP', wa, 'mine', 1, booking, trip, invoice),
        (t, nobodys, hidden, 'OPEN', null, now() - interval '2 minutes', 'WHATSAPP', wa, 'nobodys', 1, null, null, null),
        (t, theirs, visitor, 'OPEN', other, now() - interval '3 minutes', 'WEBCHAT', web, 'theirs', 2, null, null, null),
        (t, ended, stranger, 'RESOLVED', other, now() - interval '4 minutes', 'WEBCHAT', web, 'ended', 1, null, null, null);
    insert into communications.conversation_events (tenant_id, id, conversation_id, kind, actor_kind, actor_id, note)
    select t, gen_random_uuid(), c, 'NOTE_ADDED', 'AGENT', me, 'a note'
      from unnest(array[mine, nobodys, theirs, ended]) c;
    insert into communications.conversation_read_cursors (tenant_id, conversation_id, user_id, last_read_at, inbound_seen) values
        (t, nobodys, me, now(), 1), (t, mine, other, now(), 1);

    insert into communications.trigger_runs (tenant_id, id, source, idempotency_key, body_hash, trigger_event, status, answer) values
        (t, run, 'host', 'event-' || n, '\x00', 'TRIP_DELAYED', 'COMPLETED', jsonb_build_object('to', phone));
    insert into communications.batches
        (tenant_id, id, source, idempotency_key, body_hash, trigger_event, request, run_id, status, recipients, cursor, queued)
    values (t, gen_random_uuid(), 'host', 'batch-' || n, '\x00', 'TRIP_DELAYED', jsonb_build_object('to', phone), run, 'RUNNING', 3, 2, 2);
    insert into communications.messages
        (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, address, content, body, status,
         lane, category, run_id, trigger_event, external_message_id, reply_to, failed_reason)
    values
        (t, first, 'INBOUND', 'WHATSAPP', wa, plain, mine, 'CONTACT', '+3460000000' || n, '{}', 'hello', 'DELIVERED',
         null, null, null, null, 'wamid.plain.' || n, null, null),
        (t, communications.uuid_v7(), 'OUTBOUND', 'WHATSAPP', wa, plain, mine, 'SYSTEM', '+3460000000' || n, '{}', 'late', 'QUEUED',
         'TRANSACTIONAL', 'TRANSACTIONAL', run, 'TRIP_DELAYED', null, 'wamid.plain.' || n, null),
        (t, communications.uuid_v7(), 'OUTBOUND', 'WHATSAPP', wa, stranger, null, 'SYSTEM', '+3460000009' || n, '{}', 'unthreaded',
         'QUEUED', 'TRANSACTIONAL', 'TRANSACTIONAL', null, null, null, null, null),
        (t, communications.uuid_v7(), 'INBOUND', 'WHATSAPP', wa, hidden, nobodys, 'CONTACT', phone, jsonb_build_object('from', phone),
         'psst', 'DELIVERED', null, null, null, null, wamid || '1', null, null),
        (t, communications.uuid_v7(), 'OUTBOUND', 'WHATSAPP', wa, hidden, nobodys, 'AGENT', phone, '{}', 'yes?', 'QUEUED',
         'INTERACTIVE', 'SERVICE', null, null, null, wamid || '1', 'not a number: ' || phone),
        (t, communications.uuid_v7(), 'INBOUND', 'WEBCHAT', web, visitor, theirs, 'CONTACT', 'v-' || n, '{}', 'from the site',
         'DELIVERED', null, null, null, null, 'web.' || n, null, null),
        (t, communications.uuid_v7(), 'OUTBOUND', 'WEBCHAT', web, visitor, theirs, 'AGENT', 'v-' || n, '{}', 'to the site', 'QUEUED',
         'INTERACTIVE', 'SERVICE', null, null, null, null, null),
        (t, communications.uuid_v7(), 'INBOUND', 'WHATSAPP', wa, visitor, theirs, 'CONTACT', '+3460000008' || n, '{}', 'from the phone',
         'DELIVERED', null, null, null, null, 'wamid.visitor.' || n, null, null),
        (t, communications.uuid_v7(), 'INBOUND', 'WEBCHAT', web, stranger, ended, 'CONTACT', 's-' || n, '{}', 'somebody else',
         'DELIVERED', null, null, null, null, 'web.other.' || n, null, null);
    insert into communications.message_media (tenant_id, id, message_id, account_id, kind, source, source_ref, expires_at) values
        (t, gen_random_uuid(), first, wa, 'image', 'META', 'm-' || n, now() + interval '7 days');
    insert into communications.message_reactions
        (tenant_id, account_id, target_external_id, contact_id, actor_kind, emoji, external_message_id, at)
    values
        (t, wa, 'wamid.plain.' || n, plain, 'CONTACT', '👍', 'wamid.reaction.' || n, now()),
        (t, wa, 'wamid.plain.' || n, plain, 'AGENT', '', 'wamid.taken.' || n, now()),
        (t, wa, wamid || '1', hidden, 'AGENT', '👀', wamid || '2', now());
end
$$;
