select _subs.result_id, _fld_resp.root as result
  from unnest(($1)::uuid[], ($2)::json[]) as _subs (result_id, result_vars)
  left outer join lateral (
      select json_build_object('messages', _messages.root) as root
        from (select coalesce(json_agg(root order by _order_1 desc nulls first, _order_2 desc nulls first), '[]') as root
                from (select row_to_json((select _e
                                            from (select _root.id as id,
                                                         _root.direction as direction,
                                                         _root.channel as channel,
                                                         _root.sender_kind as sender_kind,
                                                         _root.sender_id as sender_id,
                                                         _root.body as body,
                                                         _root.status as status,
                                                         _root.thread_at as thread_at,
                                                         _root.failed_code as failed_code,
                                                         _root.replied_to as replied_to,
                                                         _root.reactions as reactions,
                                                         _root.media as media,
                                                         _root.trigger_event as trigger_event) as _e)) as root,
                             _root.thread_at as _order_1,
                             _root.id as _order_2
                        from (select *
                                from communications.messages
                               where messages.tenant_id
                                     = (_subs.result_vars #>> array['session', 'x-hasura-tenant-id'])::uuid
                                 and (not exists (select 1
                                                    from communications.tenant_settings as _be
                                                   where _be.tenant_id
                                                         = (_subs.result_vars #>> array['session', 'x-hasura-tenant-id'])::uuid
                                                     and _be.inbox_visibility = 'MINE_AND_UNASSIGNED')
                                      or exists (select 1
                                                   from communications.conversations as _be
                                                  where _be.tenant_id = messages.tenant_id
                                                    and _be.id = messages.conversation_id
                                                    and (_be.assigned_to is null
                                                         or _be.assigned_to
                                                            = (_subs.result_vars #>> array['session', 'x-hasura-user-id'])::uuid)))
                                 and messages.conversation_id
                                     = (_subs.result_vars #>> array['query', 'conversation_id'])::uuid
                               order by thread_at desc nulls first, id desc nulls first
                               limit 50) as _root
                       order by _order_1 desc nulls first, _order_2 desc nulls first) as _rows) as _messages
  ) as _fld_resp on true
