//! The trigger registry: what may start a message, as data.
//!
//! An entry says what fires it, which row of the host it is about, and who hears of it. Which channels, how urgent, in which words:
//! those are rows (`notification_rules`, `notification_templates`), the platform's where a tenant has none of its own.
//! docs/notification-pipeline-protocol.md, "Adding a trigger".

use serde::{Deserialize, Serialize};
use time::Duration;

/// One kind of domain event.
#[derive(Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The name that rules, templates and runs carry.
    pub event: &'static str,
    pub fired_by: FiredBy,
    /// Each with a rule of its own; somebody who is in two is written to by the first.
    pub audiences: &'static [Audience],
    /// Said so long after it happened.
    pub after: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub enum FiredBy {
    /// Hasura event triggers on the host's tables.
    Changes(&'static [Firing]),
    /// A moment that comes by itself.
    Time(Moment),
}

/// A change of a row, as a Hasura event trigger reports it.
#[derive(Debug, PartialEq, Eq)]
pub struct Firing {
    /// The name of the Hasura event trigger.
    pub hasura_name: &'static str,
    pub subject: Subject,
    pub when: Condition,
    /// Instead of the trigger's own audiences.
    pub audiences: Option<&'static [Audience]>,
}

/// What makes a change this event.
#[derive(Debug, PartialEq, Eq)]
pub enum Condition {
    /// The row comes to have this status, by an insert or an update.
    Becomes(&'static str),
    /// A row is there that was not.
    Inserted,
    /// One of these columns gets another value, which is not null, while the row has one of these statuses (any, where none is
    /// named).
    Changes {
        columns: &'static [&'static str],
        while_status: &'static [&'static str],
        /// Is the value that a new row has a change as well?
        when_inserted: bool,
    },
}

/// The host's row that an event is about; its columns are those of the view (docs/schema-communications.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Subject {
    Trip,
    Booking,
    /// A passenger of a booking: `booking_id` and `passenger_profile_id` instead of an id.
    Seat,
    Payment,
    Invoice,
    Incident,
    Shift,
    VendorOrder,
}

/// As in `notification_rules.audience`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Audience {
    TripPassengers,
    BookingPassengers,
    LeadPassenger,
    /// The one whose seat it is.
    Passenger,
    Payer,
    BillingContact,
    Driver,
    Vendor,
}

impl Audience {
    pub const ALL: &'static [Self] = &[
        Self::TripPassengers,
        Self::BookingPassengers,
        Self::LeadPassenger,
        Self::Passenger,
        Self::Payer,
        Self::BillingContact,
        Self::Driver,
        Self::Vendor,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TripPassengers => "TRIP_PASSENGERS",
            Self::BookingPassengers => "BOOKING_PASSENGERS",
            Self::LeadPassenger => "LEAD_PASSENGER",
            Self::Passenger => "PASSENGER",
            Self::Payer => "PAYER",
            Self::BillingContact => "BILLING_CONTACT",
            Self::Driver => "DRIVER",
            Self::Vendor => "VENDOR",
        }
    }
}

/// Something is due from `from` until `until`, both counted from a time of its own (a trip's departure); negative is before.
#[derive(Debug, PartialEq, Eq)]
pub struct Moment {
    pub subject: Subject,
    /// Of the row, where that time stands.
    pub column: &'static str,
    /// Only while the row has one of these.
    pub while_status: &'static [&'static str],
    pub from: Duration,
    /// Later than that it is not worth saying: what an outage may cost.
    pub until: Duration,
}

use Audience::{
    BillingContact, BookingPassengers, Driver, LeadPassenger, Passenger, Payer, TripPassengers,
    Vendor,
};

/// The statuses in which a trip has not left yet.
pub const BEFORE_DEPARTURE: &[&str] = &["SCHEDULED", "DELAYED", "BOARDING"];

const fn becomes(
    event: &'static str,
    firing: &'static [Firing],
    audiences: &'static [Audience],
) -> Trigger {
    Trigger {
        event,
        fired_by: FiredBy::Changes(firing),
        audiences,
        after: Duration::ZERO,
    }
}

const fn firing(hasura_name: &'static str, subject: Subject, when: Condition) -> Firing {
    Firing {
        hasura_name,
        subject,
        when,
        audiences: None,
    }
}

/// A kind of row, the column with its time, and the statuses in which that is still to come.
type Coming = (Subject, &'static str, &'static [&'static str]);

const DEPARTURE: Coming = (Subject::Trip, "departure_at", BEFORE_DEPARTURE);
const BALANCE: Coming = (Subject::Booking, "balance_due_at", &["CONFIRMED"]);
const INVOICE: Coming = (Subject::Invoice, "due_at", &["ISSUED", "OVERDUE"]);
const SHIFT: Coming = (Subject::Shift, "starts_at", &["PLANNED"]);

const fn due(
    event: &'static str,
    (subject, column, while_status): Coming,
    (from, until): (Duration, Duration),
    audiences: &'static [Audience],
) -> Trigger {
    Trigger {
        event,
        fired_by: FiredBy::Time(Moment {
            subject,
            column,
            while_status,
            from,
            until,
        }),
        audiences,
        after: Duration::ZERO,
    }
}

const fn status(status: &'static str) -> Condition {
    Condition::Becomes(status)
}

pub const REGISTRY: &[Trigger] = &[
    becomes(
        "BOOKING_CONFIRMED",
        &[firing(
            "booking_confirmed",
            Subject::Booking,
            status("CONFIRMED"),
        )],
        &[LeadPassenger],
    ),
    becomes(
        "BOOKING_MODIFIED",
        &[firing(
            "booking_modified",
            Subject::Booking,
            Condition::Changes {
                columns: &["trip_id", "seats", "lead_passenger_profile_id"],
                while_status: &["CONFIRMED"],
                when_inserted: false,
            },
        )],
        &[LeadPassenger],
    ),
    becomes(
        "BOOKING_CANCELLED",
        &[firing(
            "booking_cancelled",
            Subject::Booking,
            status("CANCELLED"),
        )],
        &[BookingPassengers],
    ),
    due(
        "BOOKING_PAYMENT_REMINDER",
        BALANCE,
        (Duration::hours(-48), Duration::ZERO),
        &[LeadPassenger],
    ),
    becomes(
        "PAYMENT_RECEIVED",
        &[firing(
            "payment_received",
            Subject::Payment,
            status("RECEIVED"),
        )],
        &[Payer],
    ),
    becomes(
        "PAYMENT_FAILED",
        &[firing("payment_failed", Subject::Payment, status("FAILED"))],
        &[Payer],
    ),
    becomes(
        "REFUND_ISSUED",
        &[firing(
            "refund_issued",
            Subject::Payment,
            status("REFUNDED"),
        )],
        &[Payer],
    ),
    becomes(
        "INVOICE_ISSUED",
        &[firing("invoice_issued", Subject::Invoice, status("ISSUED"))],
        &[BillingContact],
    ),
    due(
        "INVOICE_OVERDUE",
        INVOICE,
        (Duration::ZERO, Duration::days(30)),
        &[BillingContact],
    ),
    due(
        "TRIP_REMINDER_24H",
        DEPARTURE,
        (Duration::hours(-24), Duration::hours(-3)),
        &[TripPassengers],
    ),
    due(
        "TRIP_REMINDER_2H",
        DEPARTURE,
        (Duration::hours(-2), Duration::minutes(-10)),
        &[TripPassengers],
    ),
    becomes(
        "TRIP_DELAYED",
        &[firing("trip_delayed", Subject::Trip, status("DELAYED"))],
        &[TripPassengers],
    ),
    becomes(
        "TRIP_RESCHEDULED",
        &[firing(
            "trip_rescheduled",
            Subject::Trip,
            Condition::Changes {
                columns: &["departure_at"],
                while_status: BEFORE_DEPARTURE,
                when_inserted: false,
            },
        )],
        &[TripPassengers],
    ),
    becomes(
        "TRIP_CANCELLED",
        &[firing("trip_cancelled", Subject::Trip, status("CANCELLED"))],
        &[TripPassengers],
    ),
    becomes(
        "TRIP_BOARDING",
        &[firing("trip_boarding", Subject::Trip, status("BOARDING"))],
        &[TripPassengers],
    ),
    Trigger {
        after: Duration::hours(2),
        ..becomes(
            "TRIP_COMPLETED_FEEDBACK",
            &[firing(
                "trip_completed_feedback",
                Subject::Trip,
                status("COMPLETED"),
            )],
            &[TripPassengers],
        )
    },
    becomes(
        "VEHICLE_OR_STOP_CHANGED",
        &[
            firing(
                "vehicle_changed",
                Subject::Trip,
                Condition::Changes {
                    columns: &["vehicle"],
                    while_status: BEFORE_DEPARTURE,
                    when_inserted: false,
                },
            ),
            Firing {
                audiences: Some(&[Passenger]),
                ..firing(
                    "stop_changed",
                    Subject::Seat,
                    Condition::Changes {
                        columns: &["pickup_point"],
                        while_status: &[],
                        when_inserted: false,
                    },
                )
            },
        ],
        &[TripPassengers],
    ),
    becomes(
        "DRIVER_ASSIGNED",
        &[firing(
            "driver_assigned",
            Subject::Trip,
            Condition::Changes {
                columns: &["driver_id"],
                while_status: BEFORE_DEPARTURE,
                when_inserted: true,
            },
        )],
        &[Driver],
    ),
    due(
        "DRIVER_SHIFT_REMINDER",
        SHIFT,
        (Duration::hours(-12), Duration::minutes(-30)),
        &[Driver],
    ),
    becomes(
        "INCIDENT_CREATED",
        &[firing(
            "incident_created",
            Subject::Incident,
            Condition::Inserted,
        )],
        &[TripPassengers, Driver],
    ),
    becomes(
        "INCIDENT_RESOLVED",
        &[firing(
            "incident_resolved",
            Subject::Incident,
            status("RESOLVED"),
        )],
        &[TripPassengers, Driver],
    ),
    becomes(
        "VENDOR_SERVICE_REQUEST",
        &[firing(
            "vendor_service_request",
            Subject::VendorOrder,
            Condition::Inserted,
        )],
        &[Vendor],
    ),
];

/// The trigger of that name.
#[must_use]
pub fn by_event(event: &str) -> Option<&'static Trigger> {
    REGISTRY.iter().find(|trigger| trigger.event == event)
}

/// The trigger behind a Hasura event trigger's name, and which of its firings that is.
#[must_use]
pub fn by_hasura_name(name: &str) -> Option<(&'static Trigger, &'static Firing)> {
    firings().find(|(_, firing)| firing.hasura_name == name)
}

/// The names of all Hasura event triggers that are answered.
#[must_use]
pub fn hasura_names() -> Vec<&'static str> {
    firings().map(|(_, firing)| firing.hasura_name).collect()
}

fn firings() -> impl Iterator<Item = (&'static Trigger, &'static Firing)> {
    REGISTRY.iter().flat_map(|trigger| {
        let firings = match trigger.fired_by {
            FiredBy::Changes(firings) => firings,
            FiredBy::Time(_) => &[],
        };
        firings.iter().map(move |firing| (trigger, firing))
    })
}

/// Those that a clock fires.
pub fn timed() -> impl Iterator<Item = (&'static Trigger, &'static Moment)> {
    REGISTRY
        .iter()
        .filter_map(|trigger| match &trigger.fired_by {
            FiredBy::Time(moment) => Some((trigger, moment)),
            FiredBy::Changes(_) => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn there_are_twenty_two_and_every_name_is_one_things() {
        assert_eq!(REGISTRY.len(), 22);
        let events: HashSet<_> = REGISTRY.iter().map(|trigger| trigger.event).collect();
        assert_eq!(events.len(), REGISTRY.len());
        let names = hasura_names();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        for (_, moment) in timed() {
            assert!(moment.from < moment.until);
        }
    }
}
