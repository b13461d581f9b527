-- A business-scoped user id is one person's in a business portfolio, which may have several business accounts (WABA). It was kept
-- within the account that told it: who writes to two of one tenant and shows no number was two people. No payload names the portfolio,
-- and no two portfolios give out the same id: like every other alias it now means one thing within the tenant.

-- What only moved within an alias leaves its contact's face as it is.
create or replace function communications.refresh_contact_identifiers_moved() returns trigger
    language plpgsql
as $$
begin
    perform communications.refresh_identifiers(array_agg(tenant_id), array_agg(contact_id))
       from ((select tenant_id, contact_id, kind, value, first_seen_at from before
              except select tenant_id, contact_id, kind, value, first_seen_at from after)
             union all
             (select tenant_id, contact_id, kind, value, first_seen_at from after
              except select tenant_id, contact_id, kind, value, first_seen_at from before)) moved
     having count(*) > 0;
    return null;
end
$$;

do $$
declare
    v_lost jsonb;
begin
    -- Nobody adds one meanwhile.
    lock table communications.contact_identities in share row exclusive mode;

    -- Whom it was first keeps it; of the others it is asked whether they are the same.
    with held as (
        select i.tenant_id, i.scope, i.value, i.contact_id,
               first_value(i.scope) over whose as kept_scope, first_value(i.contact_id) over whose as kept_by
          from communications.contact_identities i
         where i.kind = 'bsuid'
        window whose as (partition by i.tenant_id, i.value order by i.first_seen_at, i.scope)),
    lost as (
        delete from communications.contact_identities i
         using held h
         where i.tenant_id = h.tenant_id and i.kind = 'bsuid' and i.scope = h.scope and i.value = h.value and h.scope <> h.kept_scope
        returning h.tenant_id, h.value, h.contact_id, h.kept_by)
    select jsonb_agg(jsonb_build_object(
               'tenant_id', tenant_id, 'contact_a', least(contact_id, kept_by), 'contact_b', greatest(contact_id, kept_by),
               'times', 1, 'evidence', evidence))
      into v_lost
      from (select tenant_id, contact_id, kept_by,
                   jsonb_agg(jsonb_build_object('kind', 'bsuid', 'value', value, 'contact_id', whose) order by value, whose) as evidence
              from (select distinct tenant_id, contact_id, kept_by, value from lost where contact_id <> kept_by) l
             cross join lateral unnest(array[contact_id, kept_by]) as whose
             group by tenant_id, contact_id, kept_by) pairs;
    if v_lost is not null then
        perform communications.open_reviews(v_lost);
    end if;

    update communications.contact_identities set scope = '' where kind = 'bsuid' and scope <> '';

    -- What merges moved is found again by its key.
    update communications.contact_merges g
       set moved = (select jsonb_object_agg(f.key, case when f.key in ('aliases', 'kept_aliases', 'former') then (
                               select coalesce(jsonb_agg(case when a.value ->> 0 = 'bsuid' then jsonb_set(a.value, '{1}', '""')
                                                              else a.value end order by a.n), '[]')
                                 from jsonb_array_elements(f.value) with ordinality as a (value, n))
                                           else f.value end)
                      from jsonb_each(g.moved) f)
     where g.moved::text like '%["bsuid", %';
end
$$;
