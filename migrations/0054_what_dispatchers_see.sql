-- `tenant_settings.inbox_visibility` for whoever acts, as Hasura's filters have it for whoever reads: where a tenant shows its dispatchers
-- their own and nobody's alone, another one's conversation is none for them. Null stands for a message that belongs to no conversation.
create function communications.shown_to_dispatcher(p_tenant uuid, p_conversation uuid, p_user uuid) returns boolean
    language sql stable
as $$
    select not exists (select from communications.tenant_settings s
                        where s.tenant_id = p_tenant and s.inbox_visibility = 'MINE_AND_UNASSIGNED')
        or exists (select from communications.conversations c
                    where c.tenant_id = p_tenant and c.id = p_conversation
                      and (c.assigned_to is null or c.assigned_to = p_user))
$$;
