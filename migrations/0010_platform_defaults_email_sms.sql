-- Email and SMS for what had WhatsApp alone. A tenant without an account on one of them is written to as before.

-- Delivered within half an hour or an email goes out; not even that within a quarter of an hour, or no mailbox, and an
-- SMS does. A delay is news for minutes, and a read receipt is no evidence of anything: people switch it off.
update communications.notification_rules
   set steps = '[{"channel": "WHATSAPP"},
                 {"channel": "EMAIL", "not_delivered_within_seconds": 1800},
                 {"channel": "SMS", "not_delivered_within_seconds": 900}]'
 where tenant_id = communications.platform_tenant() and trigger_event = 'TRIP_DELAYED' and audience = 'TRIP_PASSENGERS';

insert into communications.notification_templates
    (tenant_id, id, trigger_event, channel, locale, version, status, published_at, subject, body, html, variable_schema)
values
    (communications.platform_tenant(), '018f0000-0000-7000-8000-000000000201',
     'TRIP_DELAYED', 'EMAIL', 'en', 1, 'PUBLISHED', now(),
     'Trip {{ trip.code }} is delayed: new departure {{ trip.new_departure_time }}',
     'Hi {{ passenger.first_name }},

your trip {{ trip.code }} from {{ trip.origin }} to {{ trip.destination }} on {{ trip.departure_date }} is delayed.

New departure: {{ trip.new_departure_time }} (instead of {{ trip.departure_time }}).

We are sorry for the wait.
',
     '<!doctype html>
<html lang="en"><body>
<p>Hi {{ passenger.first_name }},</p>
<p>your trip <strong>{{ trip.code }}</strong> from {{ trip.origin }} to {{ trip.destination }} on {{ trip.departure_date }} is delayed.</p>
<p>New departure: <strong>{{ trip.new_departure_time }}</strong> (instead of {{ trip.departure_time }}).</p>
<p>We are sorry for the wait.</p>
</body></html>
',
     '{"passenger.first_name": "string", "trip.code": "string", "trip.origin": "string", "trip.destination": "string", "trip.departure_date": "string", "trip.departure_time": "string", "trip.new_departure_time": "string"}'),
    (communications.platform_tenant(), '018f0000-0000-7000-8000-000000000202',
     'TRIP_DELAYED', 'EMAIL', 'es', 1, 'PUBLISHED', now(),
     'El viaje {{ trip.code }} va con retraso: nueva salida {{ trip.new_departure_time }}',
     'Hola {{ passenger.first_name }}:

Tu viaje {{ trip.code }} de {{ trip.origin }} a {{ trip.destination }} del {{ trip.departure_date }} va con retraso.

Nueva salida: {{ trip.new_departure_time }} (en lugar de {{ trip.departure_time }}).

Sentimos la espera.
',
     '<!doctype html>
<html lang="es"><body>
<p>Hola {{ passenger.first_name }}:</p>
<p>Tu viaje <strong>{{ trip.code }}</strong> de {{ trip.origin }} a {{ trip.destination }} del {{ trip.departure_date }} va con retraso.</p>
<p>Nueva salida: <strong>{{ trip.new_departure_time }}</strong> (en lugar de {{ trip.departure_time }}).</p>
<p>Sentimos la espera.</p>
</body></html>
',
     '{"passenger.first_name": "string", "trip.code": "string", "trip.origin": "string", "trip.destination": "string", "trip.departure_date": "string", "trip.departure_time": "string", "trip.new_departure_time": "string"}'),
    -- Only letters of the GSM alphabet: one accent outside it (á, í, ó, ú) more than halves what fits into a part.
    (communications.platform_tenant(), '018f0000-0000-7000-8000-000000000301',
     'TRIP_DELAYED', 'SMS', 'en', 1, 'PUBLISHED', now(), null,
     'Trip {{ trip.code }} {{ trip.origin }} - {{ trip.destination }} is delayed. New departure: {{ trip.new_departure_time }}.',
     null,
     '{"trip.code": "string", "trip.origin": "string", "trip.destination": "string", "trip.new_departure_time": "string"}'),
    (communications.platform_tenant(), '018f0000-0000-7000-8000-000000000302',
     'TRIP_DELAYED', 'SMS', 'es', 1, 'PUBLISHED', now(), null,
     'El viaje {{ trip.code }} {{ trip.origin }} - {{ trip.destination }} va con retraso. Nueva salida: {{ trip.new_departure_time }}.',
     null,
     '{"trip.code": "string", "trip.origin": "string", "trip.destination": "string", "trip.new_departure_time": "string"}');
