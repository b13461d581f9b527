-- A conversation shows the contact's windows, whatever channel they wrote on last.
create index whatsapp_windows_contact on communications.whatsapp_windows (tenant_id, contact_id);
