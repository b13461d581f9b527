-- The seam to the pillars: the service reads them only through these views, which the host defines. Their shape is data,
-- so that the check can name what is missing (functions/migrate reports it; docs/schema-communications.md explains it).
create table communications.domain_contract (
    view_name    text not null,
    column_name  text not null,
    data_type    text not null,
    primary key (view_name, column_name)
);

insert into communications.domain_contract (view_name, column_name, data_type) values
    ('domain_trips', 'tenant_id', 'uuid'),
    ('domain_trips', 'trip_id', 'uuid'),
    ('domain_trips', 'code', 'text'),
    ('domain_trips', 'status', 'text'),
    ('domain_trips', 'origin', 'text'),
    ('domain_trips', 'destination', 'text'),
    ('domain_trips', 'departure_at', 'timestamp with time zone'),
    ('domain_trips', 'estimated_departure_at', 'timestamp with time zone'),
    ('domain_trips', 'timezone', 'text'),
    ('domain_trips', 'driver_id', 'uuid'),
    ('domain_trips', 'vehicle', 'text'),
    ('domain_bookings', 'tenant_id', 'uuid'),
    ('domain_bookings', 'booking_id', 'uuid'),
    ('domain_bookings', 'trip_id', 'uuid'),
    ('domain_bookings', 'reference', 'text'),
    ('domain_bookings', 'status', 'text'),
    ('domain_bookings', 'lead_passenger_profile_id', 'uuid'),
    ('domain_trip_passengers', 'tenant_id', 'uuid'),
    ('domain_trip_passengers', 'trip_id', 'uuid'),
    ('domain_trip_passengers', 'booking_id', 'uuid'),
    ('domain_trip_passengers', 'passenger_profile_id', 'uuid'),
    ('domain_passenger_profiles', 'tenant_id', 'uuid'),
    ('domain_passenger_profiles', 'passenger_profile_id', 'uuid'),
    ('domain_passenger_profiles', 'full_name', 'text'),
    ('domain_passenger_profiles', 'phone', 'text'),
    ('domain_passenger_profiles', 'email', 'text'),
    ('domain_passenger_profiles', 'locale', 'text'),
    ('domain_passenger_profiles', 'timezone', 'text'),
    ('domain_drivers', 'tenant_id', 'uuid'),
    ('domain_drivers', 'driver_id', 'uuid'),
    ('domain_drivers', 'full_name', 'text'),
    ('domain_drivers', 'phone', 'text'),
    ('domain_drivers', 'email', 'text'),
    ('domain_drivers', 'locale', 'text'),
    ('domain_vendors', 'tenant_id', 'uuid'),
    ('domain_vendors', 'vendor_id', 'uuid'),
    ('domain_vendors', 'name', 'text'),
    ('domain_vendors', 'phone', 'text'),
    ('domain_vendors', 'email', 'text'),
    ('domain_vendors', 'locale', 'text'),
    ('domain_invoices', 'tenant_id', 'uuid'),
    ('domain_invoices', 'invoice_id', 'uuid'),
    ('domain_invoices', 'booking_id', 'uuid'),
    ('domain_invoices', 'number', 'text'),
    ('domain_invoices', 'status', 'text'),
    ('domain_invoices', 'total', 'numeric'),
    ('domain_invoices', 'currency', 'text'),
    ('domain_invoices', 'due_at', 'timestamp with time zone'),
    ('domain_invoices', 'billing_profile_id', 'uuid'),
    ('domain_incidents', 'tenant_id', 'uuid'),
    ('domain_incidents', 'incident_id', 'uuid'),
    ('domain_incidents', 'trip_id', 'uuid'),
    ('domain_incidents', 'status', 'text'),
    ('domain_incidents', 'severity', 'text'),
    ('domain_incidents', 'summary', 'text');

-- Empty when the host keeps the contract.
create view communications.domain_contract_gaps as
    select c.view_name, c.column_name, c.data_type as expected, i.data_type::text as found
      from communications.domain_contract c
      left join information_schema.columns i
        on i.table_schema = 'communications' and i.table_name = c.view_name and i.column_name = c.column_name
     where i.data_type is null
        or (i.data_type::text <> c.data_type and not (c.data_type = 'text' and i.data_type = 'character varying'));
