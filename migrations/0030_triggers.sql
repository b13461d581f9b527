-- All of the registry's triggers (shared/core/src/automation/registry.rs): what they read of the host, and what a tenant gets
-- without having chosen anything.

-- Columns and views beside those that the first trigger needed. A host without one of them loses the triggers that read it, and
-- nothing else; functions/migrate names what is missing.
insert into communications.domain_contract (view_name, column_name, data_type) values
    ('domain_bookings', 'seats', 'integer'),
    ('domain_bookings', 'balance_due', 'numeric'),
    ('domain_bookings', 'currency', 'text'),
    ('domain_bookings', 'balance_due_at', 'timestamp with time zone'),
    ('domain_booking_passengers', 'tenant_id', 'uuid'),
    ('domain_booking_passengers', 'booking_id', 'uuid'),
    ('domain_booking_passengers', 'passenger_profile_id', 'uuid'),
    ('domain_booking_passengers', 'pickup_point', 'text'),
    ('domain_payments', 'tenant_id', 'uuid'),
    ('domain_payments', 'payment_id', 'uuid'),
    ('domain_payments', 'booking_id', 'uuid'),
    ('domain_payments', 'status', 'text'),
    ('domain_payments', 'amount', 'numeric'),
    ('domain_payments', 'currency', 'text'),
    ('domain_payments', 'payer_profile_id', 'uuid'),
    ('domain_driver_shifts', 'tenant_id', 'uuid'),
    ('domain_driver_shifts', 'shift_id', 'uuid'),
    ('domain_driver_shifts', 'driver_id', 'uuid'),
    ('domain_driver_shifts', 'trip_id', 'uuid'),
    ('domain_driver_shifts', 'status', 'text'),
    ('domain_driver_shifts', 'starts_at', 'timestamp with time zone'),
    ('domain_driver_shifts', 'timezone', 'text'),
    ('domain_vendor_orders', 'tenant_id', 'uuid'),
    ('domain_vendor_orders', 'vendor_order_id', 'uuid'),
    ('domain_vendor_orders', 'vendor_id', 'uuid'),
    ('domain_vendor_orders', 'trip_id', 'uuid'),
    ('domain_vendor_orders', 'status', 'text'),
    ('domain_vendor_orders', 'service', 'text'),
    ('domain_vendor_orders', 'needed_at', 'timestamp with time zone');

-- When not to disturb, in the recipient's zone: {"from": "21:00", "to": "08:00", "action": "HOLD"}; DROP says nothing instead.
alter table communications.notification_rules
    add constraint notification_rules_quiet_hours check (
        quiet_hours is null
        or (jsonb_typeof(quiet_hours) = 'object'
            and quiet_hours - array['from', 'to', 'action'] = '{}'
            and coalesce(quiet_hours ->> 'from' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$', false)
            and coalesce(quiet_hours ->> 'to' ~ '^([01][0-9]|2[0-3]):[0-5][0-9]$', false)
            and coalesce(quiet_hours ->> 'from' <> quiet_hours ->> 'to', false)
            and coalesce(quiet_hours ->> 'action' in ('HOLD', 'DROP'), false))) not valid,
    -- A one-time code is worth nothing in the morning.
    add constraint notification_rules_otp_any_time check (quiet_hours is null or category <> 'OTP') not valid;

-- Does the server know the zone? Asked of the zone itself: the list of all zones is read from disk, which takes 25 ms each time.
create function communications.is_zone(p_zone text) returns boolean
    language plpgsql stable
as $$
begin
    perform now() at time zone p_zone;
    return p_zone is not null;
exception when invalid_parameter_value then
    return false;
end
$$;

-- The instant at which it is quiet no more for somebody in that zone, if it is quiet at p_at; else null. The zone's own rules
-- decide what eight o'clock is on the days that have 23 or 25 hours; where an hour does not exist, the one after it is meant.
create function communications.quiet_until(p_zone text, p_from time, p_to time, p_at timestamptz) returns timestamptz
    language sql stable
    return (
        select case
            when p_from < p_to and l.clock >= p_from and l.clock < p_to then (l.today + p_to) at time zone p_zone
            when p_from > p_to and l.clock >= p_from then (l.today + 1 + p_to) at time zone p_zone
            when p_from > p_to and l.clock < p_to then (l.today + p_to) at time zone p_zone end
          from (select (p_at at time zone p_zone)::date as today, (p_at at time zone p_zone)::time as clock) l);

-- Each trigger once for each audience.
insert into communications.notification_rules
    (tenant_id, id, trigger_event, audience, steps, category, lane, expires_after, quiet_hours)
select communications.platform_tenant(), md5('rule/' || r.trigger_event || '/' || r.audience)::uuid, r.trigger_event, r.audience,
       s.steps::jsonb, r.category, r.lane, r.expires_after::interval,
       case when r.quiet then '{"from": "21:00", "to": "08:00", "action": "HOLD"}'::jsonb end
  from (values
        -- Ways to somebody who must know now, should know today, likes it in writing, and works with us.
        ('NOW', '[{"channel": "WHATSAPP"}, {"channel": "SMS", "not_delivered_within_seconds": 300}, {"channel": "EMAIL"}]'),
        ('TODAY', '[{"channel": "WHATSAPP"}, {"channel": "EMAIL", "not_delivered_within_seconds": 1800}, {"channel": "SMS", "not_delivered_within_seconds": 900}]'),
        ('WRITTEN', '[{"channel": "EMAIL"}, {"channel": "WHATSAPP"}, {"channel": "SMS"}]'),
        ('CREW', '[{"channel": "WHATSAPP"}, {"channel": "SMS", "not_delivered_within_seconds": 600}, {"channel": "EMAIL"}]')
       ) as s (way, steps)
  join (values
        ('BOOKING_CONFIRMED', 'LEAD_PASSENGER', 'TODAY', 'TRANSACTIONAL', 'TRANSACTIONAL', '24 hours', false),
        ('BOOKING_MODIFIED', 'LEAD_PASSENGER', 'TODAY', 'TRANSACTIONAL', 'TRANSACTIONAL', '24 hours', false),
        ('BOOKING_CANCELLED', 'BOOKING_PASSENGERS', 'TODAY', 'TRANSACTIONAL', 'TRANSACTIONAL', '24 hours', false),
        ('BOOKING_PAYMENT_REMINDER', 'LEAD_PASSENGER', 'WRITTEN', 'TRANSACTIONAL', 'TRANSACTIONAL', '24 hours', true),
        ('PAYMENT_RECEIVED', 'PAYER', 'WRITTEN', 'TRANSACTIONAL', 'TRANSACTIONAL', '48 hours', false),
        ('PAYMENT_FAILED', 'PAYER', 'TODAY', 'TRANSACTIONAL', 'TRANSACTIONAL', '24 hours', false),
        ('REFUND_ISSUED', 'PAYER', 'WRITTEN', 'TRANSACTIONAL', 'TRANSACTIONAL', '48 hours', false),
        ('INVOICE_ISSUED', 'BILLING_CONTACT', 'WRITTEN', 'TRANSACTIONAL', 'TRANSACTIONAL', '48 hours', false),
        ('INVOICE_OVERDUE', 'BILLING_CONTACT', 'WRITTEN', 'TRANSACTIONAL', 'TRANSACTIONAL', '48 hours', true),
        ('TRIP_REMINDER_24H', 'TRIP_PASSENGERS', 'TODAY', 'TRANSACTIONAL', 'TRANSACTIONAL', '20 hours', true),
        ('TRIP_REMINDER_2H', 'TRIP_PASSENGERS', 'NOW', 'TRANSACTIONAL', 'TRANSACTIONAL', '2 hours', false),
        ('TRIP_RESCHEDULED', 'TRIP_PASSENGERS', 'TODAY', 'TRANSACTIONAL', 'TRANSACTIONAL', '24 hours', false),
        ('TRIP_CANCELLED', 'TRIP_PASSENGERS', 'NOW', 'TRANSACTIONAL', 'TRANSACTIONAL', '24 hours', false),
        ('TRIP_BOARDING', 'TRIP_PASSENGERS', 'NOW', 'TRANSACTIONAL', 'TRANSACTIONAL', '30 minutes', false),
        ('TRIP_COMPLETED_FEEDBACK', 'TRIP_PASSENGERS', 'WRITTEN', 'TRANSACTIONAL', 'BULK', '72 hours', true),
        ('VEHICLE_OR_STOP_CHANGED', 'TRIP_PASSENGERS', 'NOW', 'TRANSACTIONAL', 'TRANSACTIONAL', '12 hours', false),
        ('VEHICLE_OR_STOP_CHANGED', 'PASSENGER', 'NOW', 'TRANSACTIONAL', 'TRANSACTIONAL', '12 hours', false),
        ('DRIVER_ASSIGNED', 'DRIVER', 'CREW', 'TRANSACTIONAL', 'TRANSACTIONAL', '12 hours', false),
        ('DRIVER_SHIFT_REMINDER', 'DRIVER', 'CREW', 'TRANSACTIONAL', 'TRANSACTIONAL', '11 hours', false),
        ('INCIDENT_CREATED', 'TRIP_PASSENGERS', 'NOW', 'TRANSACTIONAL', 'TRANSACTIONAL', '6 hours', false),
        ('INCIDENT_CREATED', 'DRIVER', 'CREW', 'TRANSACTIONAL', 'TRANSACTIONAL', '6 hours', false),
        ('INCIDENT_RESOLVED', 'TRIP_PASSENGERS', 'NOW', 'TRANSACTIONAL', 'TRANSACTIONAL', '6 hours', false),
        ('INCIDENT_RESOLVED', 'DRIVER', 'CREW', 'TRANSACTIONAL', 'TRANSACTIONAL', '6 hours', false),
        ('VENDOR_SERVICE_REQUEST', 'VENDOR', 'WRITTEN', 'TRANSACTIONAL', 'TRANSACTIONAL', '24 hours', false)
       ) as r (trigger_event, audience, way, category, lane, expires_after, quiet)
    on r.way = s.way;

-- One text for all channels of a trigger and language: WhatsApp's approved template has the trigger's name and the text's values in
-- their order; the email has a subject above it; the SMS is the text. None begins or ends with a value: Meta approves no such
-- template.
insert into communications.notification_templates
    (tenant_id, id, trigger_event, channel, locale, version, status, published_at, subject, body, html, whatsapp_template,
     variable_schema)
select communications.platform_tenant(), md5('template/' || t.trigger_event || '/' || c.channel || '/' || t.locale)::uuid,
       t.trigger_event, c.channel, t.locale, 1, 'PUBLISHED', now(),
       case when c.channel = 'EMAIL' then t.subject end, t.text,
       case when c.channel = 'EMAIL' then
           format(E'<!doctype html>\n<html lang="%s"><body><p>%s</p></body></html>\n', t.locale, t.text) end,
       case when c.channel = 'WHATSAPP' then
           jsonb_build_object('name', lower(t.trigger_event), 'language', t.locale, 'body', coalesce(v.parameters, '[]')) end,
       coalesce(v.names, '{}')
  from (values
        ('BOOKING_CONFIRMED', 'en', 'Booking {{ booking.reference }} is confirmed',
         'Hi {{ recipient.first_name }}, your booking {{ booking.reference }} from {{ trip.origin }} to {{ trip.destination }} on {{ trip.departure_date }} at {{ trip.departure_time }} is confirmed. Have a good trip!'),
        ('BOOKING_CONFIRMED', 'es', 'Reserva {{ booking.reference }} confirmada',
         'Hola {{ recipient.first_name }}: tu reserva {{ booking.reference }} de {{ trip.origin }} a {{ trip.destination }} el {{ trip.departure_date }} a las {{ trip.departure_time }} queda confirmada. ¡Buen viaje!'),
        ('BOOKING_MODIFIED', 'en', 'Booking {{ booking.reference }} has changed',
         'Hi {{ recipient.first_name }}, your booking {{ booking.reference }} has changed: {{ booking.seats }} seats, {{ trip.origin }} to {{ trip.destination }}, {{ trip.departure_date }} at {{ trip.departure_time }}. Reply here if something is wrong.'),
        ('BOOKING_MODIFIED', 'es', 'La reserva {{ booking.reference }} ha cambiado',
         'Hola {{ recipient.first_name }}: tu reserva {{ booking.reference }} ha cambiado: {{ booking.seats }} plazas, {{ trip.origin }} a {{ trip.destination }}, {{ trip.departure_date }} a las {{ trip.departure_time }}. Responde aquí si algo no es correcto.'),
        ('BOOKING_CANCELLED', 'en', 'Booking {{ booking.reference }} is cancelled',
         'Hi {{ recipient.first_name }}, your booking {{ booking.reference }} from {{ trip.origin }} to {{ trip.destination }} on {{ trip.departure_date }} is cancelled. Reply here if you have questions.'),
        ('BOOKING_CANCELLED', 'es', 'Reserva {{ booking.reference }} cancelada',
         'Hola {{ recipient.first_name }}: tu reserva {{ booking.reference }} de {{ trip.origin }} a {{ trip.destination }} el {{ trip.departure_date }} queda cancelada. Responde aquí si tienes preguntas.'),
        ('BOOKING_PAYMENT_REMINDER', 'en', 'Please pay for booking {{ booking.reference }}',
         'Hi {{ recipient.first_name }}, {{ booking.balance_due }} {{ booking.currency }} of your booking {{ booking.reference }} are due by {{ booking.balance_due_date }}. Thank you for paying in time.'),
        ('BOOKING_PAYMENT_REMINDER', 'es', 'Pago pendiente de la reserva {{ booking.reference }}',
         'Hola {{ recipient.first_name }}: quedan por pagar {{ booking.balance_due }} {{ booking.currency }} de tu reserva {{ booking.reference }} antes del {{ booking.balance_due_date }}. Gracias por pagar a tiempo.'),
        ('PAYMENT_RECEIVED', 'en', 'We received your payment for {{ booking.reference }}',
         'Hi {{ recipient.first_name }}, we received {{ payment.amount }} {{ payment.currency }} for your booking {{ booking.reference }}. Thank you!'),
        ('PAYMENT_RECEIVED', 'es', 'Hemos recibido el pago de {{ booking.reference }}',
         'Hola {{ recipient.first_name }}: hemos recibido {{ payment.amount }} {{ payment.currency }} de tu reserva {{ booking.reference }}. ¡Gracias!'),
        ('PAYMENT_FAILED', 'en', 'Your payment for {{ booking.reference }} did not go through',
         'Hi {{ recipient.first_name }}, your payment of {{ payment.amount }} {{ payment.currency }} for booking {{ booking.reference }} did not go through. Please try again, or reply here.'),
        ('PAYMENT_FAILED', 'es', 'El pago de {{ booking.reference }} no se ha realizado',
         'Hola {{ recipient.first_name }}: tu pago de {{ payment.amount }} {{ payment.currency }} para la reserva {{ booking.reference }} no se ha realizado. Inténtalo de nuevo o responde aquí.'),
        ('REFUND_ISSUED', 'en', 'Refund for booking {{ booking.reference }}',
         'Hi {{ recipient.first_name }}, we refunded {{ payment.amount }} {{ payment.currency }} of your booking {{ booking.reference }}. Your bank may take some days to show it.'),
        ('REFUND_ISSUED', 'es', 'Reembolso de la reserva {{ booking.reference }}',
         'Hola {{ recipient.first_name }}: hemos reembolsado {{ payment.amount }} {{ payment.currency }} de tu reserva {{ booking.reference }}. Tu banco puede tardar unos días en mostrarlo.'),
        ('INVOICE_ISSUED', 'en', 'Invoice {{ invoice.number }}',
         'Hi {{ recipient.first_name }}, invoice {{ invoice.number }} over {{ invoice.total }} {{ invoice.currency }} is ready; it is due on {{ invoice.due_date }}. Thank you for travelling with us.'),
        ('INVOICE_ISSUED', 'es', 'Factura {{ invoice.number }}',
         'Hola {{ recipient.first_name }}: la factura {{ invoice.number }} de {{ invoice.total }} {{ invoice.currency }} está lista; vence el {{ invoice.due_date }}. Gracias por viajar con nosotros.'),
        ('INVOICE_OVERDUE', 'en', 'Invoice {{ invoice.number }} is overdue',
         'Hi {{ recipient.first_name }}, invoice {{ invoice.number }} over {{ invoice.total }} {{ invoice.currency }} was due on {{ invoice.due_date }}. If you have paid already, please ignore this message.'),
        ('INVOICE_OVERDUE', 'es', 'La factura {{ invoice.number }} está vencida',
         'Hola {{ recipient.first_name }}: la factura {{ invoice.number }} de {{ invoice.total }} {{ invoice.currency }} venció el {{ invoice.due_date }}. Si ya la has pagado, ignora este mensaje.'),
        ('TRIP_REMINDER_24H', 'en', 'Your trip {{ trip.code }} is tomorrow',
         'Hi {{ recipient.first_name }}, your trip {{ trip.code }} from {{ trip.origin }} to {{ trip.destination }} leaves on {{ trip.departure_date }} at {{ trip.new_departure_time }}. See you on board!'),
        ('TRIP_REMINDER_24H', 'es', 'Tu viaje {{ trip.code }} es mañana',
         'Hola {{ recipient.first_name }}: tu viaje {{ trip.code }} de {{ trip.origin }} a {{ trip.destination }} sale el {{ trip.departure_date }} a las {{ trip.new_departure_time }}. ¡Nos vemos a bordo!'),
        ('TRIP_REMINDER_2H', 'en', 'Your trip {{ trip.code }} leaves soon',
         'Hi {{ recipient.first_name }}, your trip {{ trip.code }} to {{ trip.destination }} leaves at {{ trip.new_departure_time }} from {{ trip.origin }}. Vehicle: {{ trip.vehicle }}. Reply here if you need help.'),
        ('TRIP_REMINDER_2H', 'es', 'Tu viaje {{ trip.code }} sale pronto',
         'Hola {{ recipient.first_name }}: tu viaje {{ trip.code }} a {{ trip.destination }} sale a las {{ trip.new_departure_time }} desde {{ trip.origin }}. Vehículo: {{ trip.vehicle }}. Responde aquí si necesitas ayuda.'),
        ('TRIP_RESCHEDULED', 'en', 'Trip {{ trip.code }} has a new departure',
         'Hi {{ recipient.first_name }}, your trip {{ trip.code }} from {{ trip.origin }} to {{ trip.destination }} now leaves on {{ trip.departure_date }} at {{ trip.new_departure_time }}. Reply here if that does not suit you.'),
        ('TRIP_RESCHEDULED', 'es', 'El viaje {{ trip.code }} tiene nueva salida',
         'Hola {{ recipient.first_name }}: tu viaje {{ trip.code }} de {{ trip.origin }} a {{ trip.destination }} sale ahora el {{ trip.departure_date }} a las {{ trip.new_departure_time }}. Responde aquí si no te viene bien.'),
        ('TRIP_CANCELLED', 'en', 'Trip {{ trip.code }} is cancelled',
         'Hi {{ recipient.first_name }}, we are sorry: trip {{ trip.code }} from {{ trip.origin }} to {{ trip.destination }} on {{ trip.departure_date }} is cancelled. Reply here and we will find another way.'),
        ('TRIP_CANCELLED', 'es', 'El viaje {{ trip.code }} está cancelado',
         'Hola {{ recipient.first_name }}: lo sentimos, el viaje {{ trip.code }} de {{ trip.origin }} a {{ trip.destination }} del {{ trip.departure_date }} está cancelado. Responde aquí y buscaremos otra solución.'),
        ('TRIP_BOARDING', 'en', 'Trip {{ trip.code }} is boarding',
         'Hi {{ recipient.first_name }}, trip {{ trip.code }} to {{ trip.destination }} is boarding now at {{ trip.origin }}. Vehicle: {{ trip.vehicle }}. Please come on board.'),
        ('TRIP_BOARDING', 'es', 'Embarque del viaje {{ trip.code }}',
         'Hola {{ recipient.first_name }}: el viaje {{ trip.code }} a {{ trip.destination }} está embarcando en {{ trip.origin }}. Vehículo: {{ trip.vehicle }}. Ya puedes subir.'),
        ('TRIP_COMPLETED_FEEDBACK', 'en', 'How was your trip {{ trip.code }}?',
         'Hi {{ recipient.first_name }}, thank you for travelling with us from {{ trip.origin }} to {{ trip.destination }}. How was it? Just reply here, we read every answer.'),
        ('TRIP_COMPLETED_FEEDBACK', 'es', '¿Qué tal el viaje {{ trip.code }}?',
         'Hola {{ recipient.first_name }}: gracias por viajar con nosotros de {{ trip.origin }} a {{ trip.destination }}. ¿Qué tal ha ido? Responde aquí, leemos todas las respuestas.'),
        ('VEHICLE_OR_STOP_CHANGED', 'en', 'Trip {{ trip.code }}: vehicle or stop changed',
         'Hi {{ recipient.first_name }}, something changed on your trip {{ trip.code }} on {{ trip.departure_date }} at {{ trip.new_departure_time }}. Vehicle: {{ trip.vehicle }}. Pick-up: {{ recipient.pickup_point }}. Reply here if you need help.'),
        ('VEHICLE_OR_STOP_CHANGED', 'es', 'Viaje {{ trip.code }}: cambio de vehículo o parada',
         'Hola {{ recipient.first_name }}: hay un cambio en tu viaje {{ trip.code }} del {{ trip.departure_date }} a las {{ trip.new_departure_time }}. Vehículo: {{ trip.vehicle }}. Recogida: {{ recipient.pickup_point }}. Responde aquí si necesitas ayuda.'),
        ('DRIVER_ASSIGNED', 'en', 'You drive trip {{ trip.code }}',
         'Hi {{ recipient.first_name }}, you drive trip {{ trip.code }} from {{ trip.origin }} to {{ trip.destination }} on {{ trip.departure_date }} at {{ trip.new_departure_time }}. Vehicle: {{ trip.vehicle }}. Reply here if you cannot.'),
        ('DRIVER_ASSIGNED', 'es', 'Conduces el viaje {{ trip.code }}',
         'Hola {{ recipient.first_name }}: conduces el viaje {{ trip.code }} de {{ trip.origin }} a {{ trip.destination }} el {{ trip.departure_date }} a las {{ trip.new_departure_time }}. Vehículo: {{ trip.vehicle }}. Responde aquí si no puedes.'),
        ('DRIVER_SHIFT_REMINDER', 'en', 'Your shift starts at {{ shift.start_time }}',
         'Hi {{ recipient.first_name }}, your shift starts on {{ shift.start_date }} at {{ shift.start_time }}. Reply here if you cannot come.'),
        ('DRIVER_SHIFT_REMINDER', 'es', 'Tu turno empieza a las {{ shift.start_time }}',
         'Hola {{ recipient.first_name }}: tu turno empieza el {{ shift.start_date }} a las {{ shift.start_time }}. Responde aquí si no puedes venir.'),
        ('INCIDENT_CREATED', 'en', 'Incident on trip {{ trip.code }}',
         'Hi {{ recipient.first_name }}, there is an incident on trip {{ trip.code }} from {{ trip.origin }} to {{ trip.destination }}: {{ incident.summary }}. We will keep you informed. Reply here if you need help.'),
        ('INCIDENT_CREATED', 'es', 'Incidencia en el viaje {{ trip.code }}',
         'Hola {{ recipient.first_name }}: hay una incidencia en el viaje {{ trip.code }} de {{ trip.origin }} a {{ trip.destination }}: {{ incident.summary }}. Te mantendremos informado. Responde aquí si necesitas ayuda.'),
        ('INCIDENT_RESOLVED', 'en', 'Trip {{ trip.code }} goes on',
         'Hi {{ recipient.first_name }}, the incident on trip {{ trip.code }} is resolved: {{ incident.summary }}. Thank you for your patience.'),
        ('INCIDENT_RESOLVED', 'es', 'El viaje {{ trip.code }} continúa',
         'Hola {{ recipient.first_name }}: la incidencia en el viaje {{ trip.code }} está resuelta: {{ incident.summary }}. Gracias por tu paciencia.'),
        ('VENDOR_SERVICE_REQUEST', 'en', 'Service request: {{ order.service }}',
         'Hello {{ recipient.full_name }}, we need: {{ order.service }}, on {{ order.needed_date }} at {{ order.needed_time }}. Please confirm by replying to this message.'),
        ('VENDOR_SERVICE_REQUEST', 'es', 'Solicitud de servicio: {{ order.service }}',
         'Hola, {{ recipient.full_name }}: necesitamos: {{ order.service }}, el {{ order.needed_date }} a las {{ order.needed_time }}. Confirma respondiendo a este mensaje, por favor.')
       ) as t (trigger_event, locale, subject, text)
 cross join (values ('WHATSAPP'), ('EMAIL'), ('SMS')) as c (channel)
 cross join lateral (
        select jsonb_agg(m.parts[1] order by m.place) filter (where m.place is not null) as parameters,
               jsonb_object_agg(btrim(m.parts[1], '{ }'), 'string') filter (where m.place is not null) as names
          from regexp_matches(case when c.channel = 'EMAIL' then t.subject || ' ' || t.text else t.text end,
                              '\{\{ [a-z_.]+ \}\}', 'g') with ordinality as m (parts, place)) v;
