-- A chain whose next step cannot become a message would fail the settle that opens it, and with it the outcomes of its
-- whole batch. Intake writes whole steps; this holds for everybody else.
alter table communications.message_fallbacks
    add constraint message_fallbacks_step_shape check (
        jsonb_array_length(jsonb_path_query_array(steps, '$[*] ? (
            (@.channel == "WHATSAPP" || @.channel == "EMAIL" || @.channel == "SMS" || @.channel == "WEBCHAT")
            && @.account_id like_regex "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
            && @.address.type() == "string" && @.content.type() == "object" && @.body.type() == "string"
            && (!exists(@.template_id) || @.template_id == null
                || @.template_id like_regex "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
            && (!exists(@.template_version) || @.template_version == null || @.template_version.type() == "number")
            && (!exists(@.units) || @.units == null || @.units.type() == "number")
            && (!exists(@.not_delivered_within_seconds) || @.not_delivered_within_seconds == null
                || @.not_delivered_within_seconds.type() == "number")
            && (!exists(@.not_read_within_seconds) || @.not_read_within_seconds == null
                || @.not_read_within_seconds.type() == "number"))'))
        = jsonb_array_length(steps));
