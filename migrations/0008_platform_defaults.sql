-- What a tenant gets without having chosen anything. A tenant's own rule or published template wins over these.
insert into communications.notification_rules
    (tenant_id, id, trigger_event, audience, steps, category, lane, expires_after)
values
    (communications.platform_tenant(), '018f0000-0000-7000-8000-000000000001',
     'TRIP_DELAYED', 'TRIP_PASSENGERS', '[{"channel": "WHATSAPP"}]', 'TRANSACTIONAL', 'TRANSACTIONAL', '12 hours');

insert into communications.notification_templates
    (tenant_id, id, trigger_event, channel, locale, version, status, published_at, body, whatsapp_template, variable_schema)
values
    (communications.platform_tenant(), '018f0000-0000-7000-8000-000000000101',
     'TRIP_DELAYED', 'WHATSAPP', 'en', 1, 'PUBLISHED', now(),
     'Hi {{ passenger.first_name }}, your trip {{ trip.code }} from {{ trip.origin }} to {{ trip.destination }} is delayed. New departure: {{ trip.new_departure_time }}. Reply here if you need help.',
     '{"name": "trip_delayed", "language": "en", "body": ["{{ passenger.first_name }}", "{{ trip.code }}", "{{ trip.origin }}", "{{ trip.destination }}", "{{ trip.new_departure_time }}"]}',
     '{"passenger.first_name": "string", "trip.code": "string", "trip.origin": "string", "trip.destination": "string", "trip.new_departure_time": "string"}'),
    (communications.platform_tenant(), '018f0000-0000-7000-8000-000000000102',
     'TRIP_DELAYED', 'WHATSAPP', 'es', 1, 'PUBLISHED', now(),
     'Hola {{ passenger.first_name }}: tu viaje {{ trip.code }} de {{ trip.origin }} a {{ trip.destination }} va con retraso. Nueva salida: {{ trip.new_departure_time }}. Responde aquí si necesitas ayuda.',
     '{"name": "trip_delayed", "language": "es", "body": ["{{ passenger.first_name }}", "{{ trip.code }}", "{{ trip.origin }}", "{{ trip.destination }}", "{{ trip.new_departure_time }}"]}',
     '{"passenger.first_name": "string", "trip.code": "string", "trip.origin": "string", "trip.destination": "string", "trip.new_departure_time": "string"}');
