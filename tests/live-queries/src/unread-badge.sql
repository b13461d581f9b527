select _subs.result_id, _fld_resp.root as result
  from unnest(($1)::uuid[], ($2)::json[]) as _subs (result_id, result_vars)
  left outer join lateral (
      select json_build_object('tenant_settings', _tenant_settings.root) as root
        from (select coalesce(json_agg(root), '[]') as root
                from (select row_to_json((select _e
                                            from (select communications.tenant_unread_conversations(
                                                             _root, (_subs.result_vars #>> array['session'])::json
                                                         ) as unread_conversations) as _e)) as root
                        from (select *
                                from communications.tenant_settings
                               where tenant_settings.tenant_id
                                     = (_subs.result_vars #>> array['session', 'x-hasura-tenant-id'])::uuid
                               limit 1) as _root) as _rows) as _tenant_settings
  ) as _fld_resp on true
