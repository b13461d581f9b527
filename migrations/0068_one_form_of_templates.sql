-- What a notice said of a template's words is kept as Meta's list has them: an array of HEADER, BODY, FOOTER and BUTTONS. Everybody who reads
-- them knows that form alone.
update communications.whatsapp_templates t
   set components = (
           select coalesce(jsonb_agg(c.component order by c.place), '[]')
             from (values (1, jsonb_build_object('type', 'HEADER', 'format', 'TEXT', 'text', t.components -> 'title'), t.components ->> 'title'),
                          (2, jsonb_build_object('type', 'BODY', 'text', t.components -> 'element'), t.components ->> 'element'),
                          (3, jsonb_build_object('type', 'FOOTER', 'text', t.components -> 'footer'), t.components ->> 'footer'))
                  as c (place, component, said)
            where c.said is not null)
 where jsonb_typeof(t.components) = 'object';

-- Words that Meta has for an event and not for a state: such a template may be sent.
update communications.whatsapp_templates set status = 'APPROVED' where status in ('REINSTATED', 'UNARCHIVED', 'FLAGGED');

-- Rows that a notice with a hyphen in the language made beside the template's own.
delete from communications.whatsapp_templates where language like '%-%';
