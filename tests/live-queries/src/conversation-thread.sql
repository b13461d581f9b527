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
                                                         _replied_to.replied_to as replied_to,
                                                         _reactions.reactions as reactions,
                                                         _media.media as media,
                                                         _run.run as run) as _e)) as root,
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
                        left outer join lateral (
                            select row_to_json((select _e from (select _base.id as id) as _e)) as replied_to
                              from (select *
                                      from communications.thread_answers
                                     where _root.tenant_id = tenant_id
                                       and _root.account_id = account_id
                                       and _root.reply_to = external_message_id
                                       and ('true')
                                     limit 1) as _base
                        ) as _replied_to on true
                        left outer join lateral (
                            select coalesce(json_agg(reactions), '[]') as reactions
                              from (select row_to_json((select _e
                                                          from (select _base.emoji as emoji,
                                                                       _base.actor_kind as actor_kind,
                                                                       _base.at as at) as _e)) as reactions
                                      from (select *
                                              from communications.thread_reactions
                                             where _root.tenant_id = tenant_id
                                               and _root.account_id = account_id
                                               and _root.external_message_id = target_external_id
                                               and ('true')
                                             limit 20) as _base) as _rows
                        ) as _reactions on true
                        left outer join lateral (
                            select coalesce(json_agg(media order by _order_1 asc nulls last), '[]') as media
                              from (select row_to_json((select _e
                                                          from (select _base.id as id,
                                                                       _base.kind as kind,
                                                                       _base.mime_type as mime_type,
                                                                       _base.filename as filename,
                                                                       _base.size_bytes as size_bytes,
                                                                       _base.state as state,
                                                                       _base.reason as reason) as _e)) as media,
                                           _base.ordinal as _order_1
                                      from (select *
                                              from communications.thread_files
                                             where _root.tenant_id = tenant_id
                                               and _root.id = message_id
                                               and ('true')
                                             order by ordinal asc nulls last
                                             limit 100) as _base
                                     order by _order_1 asc nulls last) as _rows
                        ) as _media on true
                        left outer join lateral (
                            select row_to_json((select _e
                                                  from (select _base.trigger_event as trigger_event) as _e)) as run
                              from (select *
                                      from communications.thread_runs
                                     where _root.tenant_id = tenant_id
                                       and _root.run_id = id
                                       and ('true')
                                     limit 1) as _base
                        ) as _run on true
                       order by _order_1 desc nulls first, _order_2 desc nulls first) as _rows) as _messages
  ) as _fld_resp on true
