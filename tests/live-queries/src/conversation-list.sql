select _subs.result_id, _fld_resp.root as result
  from unnest(($1)::uuid[], ($2)::json[]) as _subs (result_id, result_vars)
  left outer join lateral (
      select json_build_object('conversations', _conversations.root) as root
        from (select coalesce(json_agg(root order by _order_1 desc nulls first, _order_2 desc nulls first), '[]') as root
                from (select row_to_json((select _e
                                            from (select _root.id as id,
                                                         _root.status as status,
                                                         _root.assigned_to as assigned_to,
                                                         _root.snoozed_until as snoozed_until,
                                                         _root.last_message_at as last_message_at,
                                                         _root.last_inbound_channel as last_inbound_channel,
                                                         _root.preview as preview,
                                                         communications.conversation_unread_count(
                                                             _root, (_subs.result_vars #>> array['session'])::json
                                                         ) as conversation_unread_count,
                                                         _root.contact_id as contact_id,
                                                         _root.contact_kind as contact_kind,
                                                         _root.contact_name as contact_name) as _e)) as root,
                             _root.last_message_at as _order_1,
                             _root.id as _order_2
                        from (select *
                                from communications.conversations
                               where conversations.tenant_id
                                     = (_subs.result_vars #>> array['session', 'x-hasura-tenant-id'])::uuid
                                 and (not exists (select 1
                                                    from communications.tenant_settings as _be
                                                   where _be.tenant_id
                                                         = (_subs.result_vars #>> array['session', 'x-hasura-tenant-id'])::uuid
                                                     and _be.inbox_visibility = 'MINE_AND_UNASSIGNED')
                                      or conversations.assigned_to is null
                                      or conversations.assigned_to
                                         = (_subs.result_vars #>> array['session', 'x-hasura-user-id'])::uuid)
                                 and $filter
                               order by last_message_at desc nulls first, id desc nulls first
                               limit 50) as _root
                       order by _order_1 desc nulls first, _order_2 desc nulls first) as _rows) as _conversations
  ) as _fld_resp on true
