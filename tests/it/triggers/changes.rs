//! Triggers that a change of a row fires.

use super::host::Host;
use comms_core::automation::{FiredBy, REGISTRY};
use comms_tests::world::World;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The Hasura trigger, the table, whose row, what is set, who hears of it, and what Ana or the one person reads.
type Case<'a> = (&'a str, &'a str, Uuid, &'a str, &'a [&'a str], &'a str);

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn each_change_reaches_its_people_in_their_words() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let colleague = Uuid::now_v7();
    sqlx::query("insert into operations.drivers (id, tenant_id, full_name, phone, locale) values ($1, $2, 'Leo Paz', '+34600777888', 'es')")
        .bind(colleague)
        .bind(host.tenant())
        .execute(&world.pool)
        .await
        .unwrap();
    let drives = format!("driver_id = '{colleague}'");
    let everybody: &[&str] = &["Ana", "Tom"];
    let cases: &[Case<'_>] = &[
        (
            "booking_modified",
            "bookings",
            host.booking,
            "seats = 3",
            &["Ana"],
            "Hola Ana: tu reserva R-77 ha cambiado: 3 plazas, Madrid a Valencia",
        ),
        (
            "payment_failed",
            "payments",
            host.payment,
            "status = 'FAILED'",
            &["Ana"],
            "tu pago de 30.00 EUR para la reserva R-77 no se ha realizado",
        ),
        (
            "payment_received",
            "payments",
            host.payment,
            "status = 'RECEIVED'",
            &["Ana"],
            "hemos recibido 30.00 EUR de tu reserva R-77",
        ),
        (
            "refund_issued",
            "payments",
            host.payment,
            "status = 'REFUNDED'",
            &["Ana"],
            "hemos reembolsado 30.00 EUR",
        ),
        (
            "invoice_issued",
            "invoices",
            host.invoice,
            "status = 'ISSUED'",
            &["Ana"],
            "la factura F-9 de 42.10 EUR está lista",
        ),
        (
            "vehicle_changed",
            "trips",
            host.trip,
            "vehicle = '9876 ZYX'",
            everybody,
            "Vehículo: 9876 ZYX. Recogida: Atocha.",
        ),
        (
            "driver_assigned",
            "trips",
            host.trip,
            &drives,
            &["Leo"],
            "Hola Leo: conduces el viaje MAD-VLC-0815 de Madrid a Valencia",
        ),
        (
            "trip_rescheduled",
            "trips",
            host.trip,
            "departure_at = departure_at + interval '1 hour'",
            everybody,
            "sale ahora el ",
        ),
        (
            "trip_delayed",
            "trips",
            host.trip,
            "status = 'DELAYED'",
            everybody,
            "va con retraso",
        ),
        (
            "trip_boarding",
            "trips",
            host.trip,
            "status = 'BOARDING'",
            everybody,
            "está embarcando en Madrid",
        ),
        (
            "incident_resolved",
            "incidents",
            host.incident,
            "status = 'RESOLVED'",
            &["Ana", "Leo", "Tom"],
            "está resuelta: a flat tyre",
        ),
        (
            "trip_completed_feedback",
            "trips",
            host.trip,
            "status = 'COMPLETED'",
            everybody,
            "gracias por viajar con nosotros de Madrid a Valencia",
        ),
        (
            "trip_cancelled",
            "trips",
            host.trip,
            "status = 'CANCELLED'",
            everybody,
            "está cancelado",
        ),
        (
            "booking_cancelled",
            "bookings",
            host.booking,
            "status = 'CANCELLED'",
            everybody,
            "queda cancelada",
        ),
        (
            "booking_confirmed",
            "bookings",
            host.booking,
            "status = 'CONFIRMED'",
            &["Ana"],
            "tu reserva R-77 de Madrid a Valencia el",
        ),
    ];
    let mut seen = BTreeSet::new();
    for (trigger, table, id, set, people, text) in cases {
        let change = host.changes(table, *id, set).await;
        let answer = host.reports(trigger, &change).await;
        assert_eq!(answer["run"]["status"], "COMPLETED", "{trigger}: {answer}");
        let said = host.said().await;
        let names: Vec<&str> = said.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, *people, "{trigger}: {answer}");
        assert!(said[0].2.contains(text), "{trigger}: {}", said[0].2);
        let unchanged = (change.1.clone(), change.1);
        assert_eq!(
            host.reports(trigger, &unchanged).await["outcome"],
            "not-wanted",
            "{trigger}"
        );
        seen.insert(*trigger);
    }
    // What is over by the time that somebody tells how it began is no news.
    let late = (Value::Null, host.row("incidents", host.incident).await);
    assert_eq!(
        host.reports("incident_created", &late).await["run"]["status"],
        "STALE"
    );
    host.changes("incidents", host.incident, "status = 'OPEN'")
        .await;
    for (trigger, table, id, people, text) in [
        (
            "incident_created",
            "incidents",
            host.incident,
            &["Ana", "Leo", "Tom"][..],
            "hay una incidencia en el viaje MAD-VLC-0815",
        ),
        (
            "vendor_service_request",
            "vendor_orders",
            host.order,
            &["Lavados"],
            "Hola, Lavados Vega: necesitamos: a wash",
        ),
    ] {
        let inserted = (Value::Null, host.row(table, id).await);
        let answer = host.reports(trigger, &inserted).await;
        let said = host.said().await;
        let names: Vec<&str> = said.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, people, "{trigger}: {answer}");
        assert!(said[0].2.contains(text), "{trigger}: {}", said[0].2);
        seen.insert(trigger);
    }
    seat(&host).await;
    seen.insert("stop_changed");
    let all: BTreeSet<&str> = REGISTRY
        .iter()
        .filter_map(|trigger| match &trigger.fired_by {
            FiredBy::Changes(firings) => Some(firings.iter()),
            FiredBy::Time(_) => None,
        })
        .flatten()
        .map(|firing| firing.hasura_name)
        .collect();
    assert_eq!(seen, all);
}

/// One passenger's stop is that passenger's news.
async fn seat(host: &Host<'_>) {
    let seat = |stop: &str| json!({"tenant_id": host.tenant(), "booking_id": host.booking, "passenger_profile_id": host.tom, "pickup_point": stop});
    host.world
        .execute("update operations.booking_passengers set pickup_point = 'Chamartín' where pickup_point is null")
        .await;
    let answer = host
        .reports("stop_changed", &(seat("Sol"), seat("Chamartín")))
        .await;
    let said = host.said().await;
    assert_eq!((said.len(), said[0].0.as_str()), (1, "Tom"), "{answer}");
    assert!(said[0].2.contains("Pick-up: Chamartín."), "{}", said[0].2);
}

#[tokio::test]
async fn who_works_for_the_operator_is_a_driver_or_a_vendor_to_it() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    host.reports(
        "vendor_service_request",
        &(Value::Null, host.row("vendor_orders", host.order).await),
    )
    .await;
    host.reports(
        "incident_created",
        &(Value::Null, host.row("incidents", host.incident).await),
    )
    .await;
    let kinds: Vec<String> = sqlx::query_scalar(
        "select display_name || ' ' || kind || ' ' || num_nonnulls(passenger_profile_id, driver_id, vendor_id)
           from communications.contacts order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        kinds,
        [
            "Ana García CUSTOMER 1",
            "Lavados Vega VENDOR 1",
            "Rosa Díaz DRIVER 1",
            "Tom Baker CUSTOMER 1"
        ]
    );
    assert_eq!(
        world
            .scalar::<i64>(
                "select count(distinct context ->> 'incident_id') from communications.trigger_runs"
            )
            .await,
        1
    );
}

/// Two changes of one column: the older one's event is stale, in whichever order they come.
#[tokio::test]
async fn an_event_that_a_later_change_has_overtaken_is_stale() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let first = host
        .changes(
            "trips",
            host.trip,
            "departure_at = departure_at + interval '1 hour'",
        )
        .await;
    let second = host
        .changes(
            "trips",
            host.trip,
            "departure_at = departure_at + interval '1 hour'",
        )
        .await;
    assert_eq!(
        host.reports("trip_rescheduled", &second).await["run"]["status"],
        "COMPLETED"
    );
    assert_eq!(
        host.reports("trip_rescheduled", &first).await["run"]["status"],
        "STALE"
    );
    assert_eq!(host.said().await.len(), 2);
    // Another column's change overtakes nothing.
    let vehicle = host.changes("trips", host.trip, "vehicle = 'X'").await;
    host.changes(
        "trips",
        host.trip,
        "departure_at = departure_at + interval '1 hour'",
    )
    .await;
    assert_eq!(
        host.reports("vehicle_changed", &vehicle).await["run"]["status"],
        "COMPLETED"
    );
}

#[tokio::test]
async fn feedback_is_asked_for_two_hours_later() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    // Whatever the hour of the test is, it is not a quiet one.
    world
        .execute("update communications.notification_rules set quiet_hours = null")
        .await;
    let change = host
        .changes("trips", host.trip, "status = 'COMPLETED'")
        .await;
    let answer = host.reports("trip_completed_feedback", &change).await;
    assert!(
        answer["run"]["recipients"][0]["send_at"].is_string(),
        "{answer}"
    );
    assert!(world.take_hints().await.is_empty(), "not yet");
    assert!(
        world
            .scalar::<bool>(
                "select bool_and(due_at > now() + interval '119 minutes' and due_at < now() + interval '121 minutes'
                                 and expires_at = due_at + interval '72 hours')
                   from communications.messages"
            )
            .await
    );
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["QUEUED", "QUEUED"]);
}

/// Known not to be approved is no way to somebody; not known is left to Meta.
#[tokio::test]
async fn a_template_that_meta_refuses_is_not_tried() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    world
        .execute(
            "insert into communications.whatsapp_templates (tenant_id, waba_id, name, language, status)
             select tenant_id, waba_id, 'trip_boarding', 'es', 'PAUSED' from communications.channel_accounts
              where channel = 'WHATSAPP' and sender = '+34911000001'",
        )
        .await;
    let change = host
        .changes("trips", host.trip, "status = 'BOARDING'")
        .await;
    let answer = host.reports("trip_boarding", &change).await;
    let skipped = &answer["run"]["recipients"][0]["skipped"][0];
    assert_eq!(
        (&skipped["reason"], &skipped["detail"]),
        (
            &json!("TEMPLATE_NOT_APPROVED"),
            &json!("trip_boarding in es")
        )
    );
    let channels: Vec<String> = host
        .said()
        .await
        .into_iter()
        .map(|(name, channel, _)| format!("{name} {channel}"))
        .collect();
    assert_eq!(channels, ["Ana SMS", "Tom WHATSAPP"]);
}

/// A host that has no such view: the event is kept, and says what is missing.
#[tokio::test]
async fn an_event_about_what_the_host_does_not_show_is_kept() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let inserted = (Value::Null, host.row("vendor_orders", host.order).await);
    world
        .execute("drop view communications.domain_vendor_orders")
        .await;
    let answer = host.reports("vendor_service_request", &inserted).await;
    assert_eq!(answer["outcome"], "quarantined");
    assert!(
        answer["reason"]
            .as_str()
            .unwrap()
            .contains("domain_vendor_orders.service"),
        "{answer}"
    );
    assert_eq!(world.count("quarantine").await, 1);
}

/// "Leaves at another time" after "does not leave" would be wrong, whatever Hasura delivers last.
#[tokio::test]
async fn a_change_of_what_is_cancelled_by_now_is_stale() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let later = "departure_at = departure_at + interval '1 hour'";
    let change = host.changes("trips", host.trip, later).await;
    host.changes("trips", host.trip, "status = 'CANCELLED'")
        .await;
    let answer = host.reports("trip_rescheduled", &change).await;
    assert_eq!(answer["run"]["status"], "STALE");
    assert_eq!(host.said().await, []);
}
