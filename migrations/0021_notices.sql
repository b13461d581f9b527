create function communications.note_wishes(p jsonb) returns void language sql as $$ select $$;
create function communications.store_notices(p jsonb) returns void language sql as $$ select $$;
