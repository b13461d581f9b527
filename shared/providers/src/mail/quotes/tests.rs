//! Answers as mail programs of six languages write them.

use proptest::prelude::*;

fn visible(text: &str) -> String {
    super::new_part(text, Some("Re: Su tren"), false)
}

#[test]
fn the_history_is_not_shown() {
    for history in [
        "On Mon, Nov 23, 2026 at 10:00 AM Avisos <avisos@tren.example> wrote:\n> Su tren\n> sale tarde.",
        "On Mon, 23 Nov 2026 at 10:00, Avisos\n<reply+abc@in.tren.example> wrote:\n\n> Su tren",
        "On 23 Nov 2026, at 10:00, Avisos <avisos@tren.example> wrote:\n\nSu tren sale tarde.",
        "El lun, 23 nov 2026 a las 10:00, Avisos (<avisos@tren.example>) escribió:\n> Su tren",
        "Le lun. 23 nov. 2026 à 10:00, Avisos <avisos@tren.example> a écrit :\n> Su tren",
        "Le 23/11/2026 à 10:00, Avisos a écrit\u{a0}:\n> Su tren",
        "On 23 Nov 2026, at 10:00,\nAvisos wrote:\n\n \n> Su tren",
        "On 23 Nov 2026, at 10:00, Avisos wrote:\n\n",
        "Am Mo., 23. Nov. 2026 um 10:00 Uhr schrieb Avisos <\navisos@tren.example>:\n> Su tren",
        "Am 23.11.2026 um 10:00 schrieb Avisos:\n> Su tren",
        "Em seg., 23 de nov. de 2026 às 10:00, Avisos <avisos@tren.example> escreveu:\n> Su tren",
        "Il giorno lun 23 nov 2026 alle ore 10:00 Avisos <avisos@tren.example> ha scritto:\n> Su tren",
        "En lunes, 23 de noviembre de 2026, 10:00:00 CET, Avisos <avisos@tren.example> escribió:\n\nSu tren",
        "Missatge de Avisos <avisos@tren.example> del dia dl., 23 de nov. 2026 a les 10:00:\n> Su tren",
        "Avisos <avisos@tren.example> escreveu no dia segunda, 23/11/2026 à(s) 10:00:\n> Su tren",
        "2026-11-23 10:00 GMT+01:00 Avisos <avisos@tren.example>:\n> Su tren",
        "-----Original Message-----\nFrom: Avisos\nSu tren",
        "-----Mensaje original-----\nDe: Avisos",
        "-------- Message d'origine --------\nDe : Avisos",
        "-----Ursprüngliche Nachricht-----\nVon: Avisos",
        "-----Mensagem original-----\nDe: Avisos",
        "-----Messaggio originale-----\nDa: Avisos",
        "From: Avisos <avisos@tren.example>\nSent: Monday, November 23, 2026 10:00 AM\nTo: Ana\nSubject: Su tren\n\nSu tren",
        "*From:* Avisos\n*Sent:* Monday\n*To:* Ana\n\nSu tren",
        "________________________________\nDe: Avisos\nEnviado: lunes\nPara: Ana\nAsunto: Su tren\n\nSu tren",
        "De : Avisos\nEnvoyé : lundi\nÀ : Ana\nObjet : Su tren\n\nSu tren",
        "Von: Avisos\nGesendet: Montag\nAn: Ana\nBetreff: Su tren\n\nSu tren",
        "De: Avisos\nEnviada em: segunda\nPara: Ana\nAssunto: Su tren\n\nSu tren",
        "Da: Avisos\nInviato: lunedì\nA: Ana\nOggetto: Su tren\n\nSu tren",
        "De: Avisos\nFecha: lunes\nPara: Ana <ana@example.com>\n\nSu tren",
        "________________________________\nDe: Avisos\nFecha: lunes\nPara: Ana\n\nSu tren",
        "> Su tren\n> sale tarde.\n",
        "Gesendet: Montag, 30. November 2026 um 10:00 Uhr\nVon: \"Avisos\" <avisos@tren.example>\nAn: ana@example.com\nBetreff: Su tren\n\nSu tren",
        "Avisos <avisos@tren.example> escreveu (segunda, 30/11/2026 à(s) 10:00):\n> Su tren",
        "Às 10:00 de 30/11/2026, Avisos escreveu:\n> Su tren",
        "pon., 30 lis 2026 o 10:00 Avisos <avisos@tren.example> napisał(a):\n\n> Su tren",
        "Op ma 30 nov 2026 om 10:00 schreef Avisos <avisos@tren.example>:\n> Su tren",
        "Op maandag 30 november 2026 om 10:00 schreef Avisos van het spoor\n<avisos@tren.example>:\n> Su tren",
        "Avisos <avisos@tren.example> 于2026年11月30日周一 10:00写道：\n> Su tren",
        "Od: Avisos <avisos@tren.example>\nWysłano: 30 listopada 2026 10:00\nDo: Ana\nTemat: Su tren\n\nSu tren",
        "-----Oprindelig meddelelse-----\nFra: Avisos\nSu tren",
    ] {
        assert_eq!(
            visible(&format!("Gracias.\n\nAna\n\n{history}")),
            "Gracias.\n\nAna",
            "{history}"
        );
    }
}

#[test]
fn neither_is_a_signature() {
    for signature in [
        "-- \nAna García\nJefa de compras",
        "--\nAna",
        "Sent from my iPhone",
        "Get Outlook for iOS<https://aka.ms/x>",
        "Enviado desde mi iPhone",
        "Obtener Outlook para Android<https://aka.ms/x>",
        "Enviado desde Yahoo Mail para iPhone",
        "Enviado con el correo electrónico seguro de Proton Mail.",
        "Sent with [Proton Mail](https://proton.me/) secure email.",
        "Sent from Proton Mail Android",
        "Sent from [Proton Mail](https://proton.me/mail/home) for iOS.",
        "Enviat des del meu iPhone",
        "Envoyé de mon iPhone",
        "Von meinem iPhone gesendet",
        "Enviado do meu iPhone",
        "Inviato da iPhone",
    ] {
        assert_eq!(
            visible(&format!("Gracias.\n\n{signature}")),
            "Gracias.",
            "{signature}"
        );
        let quoted =
            format!("Gracias.\n\n{signature}\n\nOn 1/2/2026 at 10:00 Bo <b@c.example> wrote:\n> x");
        assert_eq!(visible(&quoted), "Gracias.", "{signature}");
    }
}

#[test]
fn an_answer_below_the_quote_is_shown() {
    let below = "On Mon, 23 Nov 2026 at 10:00, Bo <b@c.example> wrote:\n> Will you come?\n> At ten.\n\nYes, I will.\n";
    assert_eq!(visible(below), "Yes, I will.");
}

#[test]
fn answers_between_the_lines_keep_the_lines() {
    let between = "On Mon, 23 Nov 2026 at 10:00, Bo <b@c.example> wrote:\n> Will you come?\nYes.\n> At ten?\nAt eleven.";
    assert_eq!(visible(between), between);
    let loose = "> Will you come?\nYes.\n> At ten?\nNo.";
    assert_eq!(visible(loose), loose);
}

#[test]
fn what_is_sent_on_is_news() {
    for forwarded in [
        "Look.\n\n---------- Forwarded message ---------\nFrom: Bo <b@c.example>\nDate: Mon\nSubject: x\nTo: Ana\n\nWords.",
        "Look.\n\nBegin forwarded message:\n\nFrom: Bo\nDate: Mon\nTo: Ana\n\nWords.",
        "From: Bo\nSent: Monday\nTo: Ana\nSubject: x\n\nNothing of her own.",
    ] {
        assert_eq!(visible(forwarded), forwarded);
    }
}

/// Outlook quotes what it sends on as it quotes what it answers.
#[test]
fn what_is_sent_on_by_its_subject_is_news() {
    let text = "Please handle.\n\nFrom: Bo <b@c.example>\nSent: Monday\nTo: Ana\nSubject: Trip\n\nTwo to Atocha.";
    for subject in [
        "FW: Trip",
        "Fwd: Trip",
        "fwd:Trip",
        " RV: Trip",
        "WG: Trip",
        "TR : Trip",
        "I: Trip",
        "ENC: Trip",
        "[External] [x] FW: Re: Trip",
    ] {
        assert_eq!(
            super::new_part(text, Some(subject), true),
            text,
            "{subject}"
        );
        let signed = format!("{text}\n-- \nAna");
        assert_eq!(
            super::new_part(&signed, Some(subject), true),
            text,
            "{subject}"
        );
    }
    for subject in [
        None,
        Some("Trip"),
        Some("RE: FW: Trip"),
        Some("Forward: Trip"),
        Some("[FW:] Trip"),
        Some("[FW: Trip"),
    ] {
        assert_eq!(
            super::new_part(text, subject, true),
            "Please handle.",
            "{subject:?}"
        );
    }
}

#[test]
fn sentences_that_only_look_like_it() {
    for text in [
        "On Monday the guard wrote:\nyou owe 20 euros.",
        "Hello,\nOn 12 May 2026 your driver wrote:\n\"I won't come\"\nRefund me.",
        "Hola:\nEl 12/05/2026 el conductor escribió:\n\nNo voy.\n> Ana\nQuiero mi dinero.",
        "Am 12.05.2026 schrieb der Fahrer:\nIch komme nicht.",
        "From: Madrid\nTo: Sevilla\nTwo tickets please.",
        "De: Madrid\nPara: Sevilla\nDos billetes.",
        "Quiero reservar:\n_____\nDe: Madrid\nA: Sevilla\nFecha: 12/05",
        "Quiero reservar:\n-----\nDe: Madrid\nA: Sevilla\nFecha: 12/05\n-----\nGracias",
        "Hola, quiero reservar:\nDe: Aeropuerto\nA: Hotel Sol\nFecha: 12/05\nPasajeros: 3",
        "Please book:\nFrom: Airport\nTo: Hotel Sol\nDate: 12 May",
        "Bonjour,\n\nDe : Nice\nÀ : Cannes\nDate : 12/05\nMerci",
        "Ciao,\nDa: Roma\nA: Ostia\nData: 12/05\nEmail: ana@example.com",
        "Hola:\n* De: Aeropuerto\n* A: Hotel Sol\n* Fecha: 12/05\nGracias",
        "Hallo,\nVon: Köln\nAn: Bonn\nDatum: 12.05.\n--------\nDanke",
        "I quote:\n> 5 is more than 4\nso it is.",
        "-- not a signature",
        "El 23 de noviembre a las 10:00 el revisor escribió: no vale.",
        "Original message was lost.",
        "Sent from my heart, with more than anybody has ever written on one line of a mail, because this is what one says at the end of it.",
    ] {
        assert_eq!(visible(text), text);
    }
}

#[test]
fn nothing_where_nothing_is_new() {
    for text in [
        "> only a quote",
        "-- \nonly a signature",
        "Sent from my iPhone",
        "On 1/2/2026 Bo <b@c.example> wrote:\n> x",
        "",
        " \n ",
    ] {
        assert_eq!(visible(text), "", "{text}");
    }
}

proptest! {
    #[test]
    fn every_line_shown_was_written(text in "(\\PC{0,20}|> x|-- |On 1/2/26 a@b wrote:|From: x|Sent: x|To: x|\n){0,30}") {
        let shown = visible(&text);
        prop_assert!(shown.lines().all(|line| text.contains(line)));
    }
}

#[test]
fn what_answers_nothing_is_shown_with_all_that_it_says() {
    for text in [
        "Contacto desde la web\nDe: Ana <ana@example.com>\nFecha: 3 mayo\nAsunto: Pregunta\n\nPerdí mi maleta negra",
        "Quiero reservar un autobús:\n\nDe: Madrid\nA: Sevilla\nFecha: 3 de mayo\nAsunto: viaje escolar\n\nNecesito factura",
        "Hola,\nEl 30/11/2026 Marta (marta@iberia.example) me escribió:\nno hay plazas.\n¿Es cierto?",
        "Dice el cartel:\n\n> Cerrado",
    ] {
        assert_eq!(super::new_part(text, Some("Pregunta"), false), text);
        assert_ne!(super::new_part(text, Some("Re: Pregunta"), false), text);
    }
}

/// What stands above a quote and announces nothing is somebody's own, with a blank line between or without one.
#[test]
fn no_word_of_the_writers_goes_with_the_quote() {
    let wrote = "On Mon, Nov 30, 2026 at 10:00 AM Avisos <avisos@tren.example> wrote:\n> Su tren";
    assert_eq!(visible(&format!("STOP\n{wrote}")), "STOP");
    assert_eq!(
        visible(&format!(
            "Sí, confirmo el asiento 12.\nGracias\n{wrote}\n\n¿Y la maleta?"
        )),
        "Sí, confirmo el asiento 12.\nGracias\n¿Y la maleta?"
    );
    for own in [
        "Perdón, el localizador era ABC123:",
        "Hola, soy Ana, DNI 12345678Z.\nQuiero la devolución. Su respuesta fue:",
    ] {
        assert_eq!(visible(&format!("{own}\n\n> Su tren")), own);
    }
    for text in [
        "Hola,\n\nmi vuelo IB3411 del 30/11:\n> Retraso de 2 horas\n\n¿Llegamos a tiempo?",
        "Gracias, aquí los datos:\n\nPasajero: Ana García <ana@example.com>\nDNI: 12345678Z\nVuelo: IB123\n\n¿Pueden confirmar el asiento?",
        "Mis datos:\n\nEmail: ana@example.com<mailto:ana@example.com>\nTel: 600111222\nVuelo: IB123\nAsiento: 12\n\nMi maleta no ha llegado",
    ] {
        assert_eq!(visible(text), text);
    }
}

#[test]
fn a_sentence_is_no_advertisement() {
    assert_eq!(
        visible("STOP\nSent from my iPhone: please excuse typos"),
        "STOP"
    );
    assert_eq!(
        visible("STOP\nSent from Yahoo Mail: Search, Organize, Conquer"),
        "STOP"
    );
    for text in [
        "Hola.\nEnviado desde mi coche: espere 20 minutos por favor",
        "Hola.\nEnviado desde mi coche, llego tarde, esperen 20 minutos",
        "Hola.\nSent from my hotel. Please pick me up there.",
    ] {
        assert_eq!(visible(text), text);
    }
}
