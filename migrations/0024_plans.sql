-- How the functions of taking in go about it. A payload is a handful of things and the tables are large; but Postgres takes every list in
-- JSON for a hundred items, and a list in a list for ten thousand, for which it reads whole tables into a hash. These go from what
-- came to the rows, in the order in which they are written, by the indexes, and keep that plan.
do $$
declare
    f regprocedure;
begin
    for f in
        select p.oid::regprocedure
          from pg_proc p
         where p.pronamespace = 'communications'::regnamespace
           and p.proname in (
               'inbound_load', 'inbound_store', 'inbound_status', 'inbound_statuses', 'aws_reports', 'mail_load',
               'people_load', 'people_store', 'learn_aliases', 'open_reviews', 'record_reports', 'project_reports', 'match_reports',
               'apply_reported', 'store_prices', 'store_messages', 'store_reactions', 'store_revisions', 'apply_revisions',
               'mute_blocked', 'note_wishes', 'store_notices', 'store_template_notices', 'store_account_notices')
    loop
        execute format(
            'alter function %s set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
                set join_collapse_limit = 1 set plan_cache_mode = force_generic_plan', f);
    end loop;
end
$$;
