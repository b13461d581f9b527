-- Whom a conversation is with stands in its row: the list's look-up of a contact for each row was a third of what it cost.
--
-- Whoever renames a contact waits until the triggers are there.
lock table communications.contacts in share row exclusive mode;
alter table communications.conversations
    add column contact_name text,
    add column contact_kind text,
    -- Nothing happens to a conversation here, so its updated_at stays.
    disable trigger user;

update communications.conversations v
   set contact_name = c.display_name, contact_kind = c.kind
  from communications.contacts c
 where c.tenant_id = v.tenant_id and c.id = v.contact_id;
alter table communications.conversations enable trigger user;

-- Of a new conversation, and of one that a merge or its undoing gives to another. Held, so that whoever renames the contact meanwhile
-- waits and then finds this row.
create function communications.learn_contact() returns trigger
    language plpgsql
as $$
begin
    select c.display_name, c.kind into new.contact_name, new.contact_kind
      from communications.contacts c
     where c.tenant_id = new.tenant_id and c.id = new.contact_id
       for share;
    return new;
end
$$;

create trigger learn_contact_insert before insert on communications.conversations
    for each row execute function communications.learn_contact();
create trigger learn_contact_update before update of contact_id on communications.conversations
    for each row when (old.contact_id is distinct from new.contact_id)
    execute function communications.learn_contact();

create function communications.tell_conversations() returns trigger
    language plpgsql
as $$
begin
    update communications.conversations v
       set contact_name = new.display_name, contact_kind = new.kind
     where v.tenant_id = new.tenant_id and v.contact_id = new.id;
    return null;
end
$$;

create trigger tell_conversations after update on communications.contacts
    for each row when ((old.display_name, old.kind) is distinct from (new.display_name, new.kind))
    execute function communications.tell_conversations();

-- The list was all that asked it.
drop view communications.listed_contacts;
