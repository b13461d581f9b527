-- A message that the claim keeps back says why, as one that failed does.
do $$
declare
    v_old text := pg_get_functiondef('communications.claim_messages'::regproc);
    v_new text;
    f     record;
begin
    for f in
        select * from (values
            ('m.category <> ''MARKETING'') then ''SUPPRESSED''', 'm.category <> ''MARKETING'') then ''NO_CONSENT'''),
            ('c.category = m.category and c.granted and c.at > said.at)) then ''SUPPRESSED''',
             'c.category = m.category and c.granted and c.at > said.at)) then ''STOPPED'''),
            ('x.address = m.address) then ''SUPPRESSED''', 'x.address = m.address) then ''UNREACHABLE'''),
            ('when g.next = ''CLOSED'' then ''EXPIRED''',
             'when g.next = ''CLOSED'' then ''EXPIRED''
                    when g.next in (''NO_CONSENT'', ''STOPPED'', ''UNREACHABLE'') then ''SUPPRESSED'''),
            ('failed_code = case when v.next = ''CLOSED'' then ''window-closed'' else m.failed_code end,
               failed_reason = case when v.next = ''CLOSED'' then ''more than 24 hours since the contact wrote''
                                    else m.failed_reason end',
             'failed_code = case v.next when ''CLOSED'' then ''window-closed''
                                         when ''NO_CONSENT'' then ''no-consent''
                                         when ''STOPPED'' then ''stopped-at-address''
                                         when ''UNREACHABLE'' then ''address-suppressed'' else m.failed_code end,
               failed_reason = case v.next when ''CLOSED'' then ''more than 24 hours since the contact wrote''
                                           when ''NO_CONSENT'' then ''the contact has not agreed to this, or said stop''
                                           when ''STOPPED'' then ''somebody who reads at the address said stop''
                                           when ''UNREACHABLE'' then ''the address bounced for good, or whoever has it complained''
                                           else m.failed_reason end')) as x (old, new)
    loop
        v_new := replace(v_old, f.old, f.new);
        if v_new = v_old then
            raise exception 'nothing to replace in claim_messages: %', f.old;
        end if;
        v_old := v_new;
    end loop;
    execute v_old;
end
$$;
