//! Two operators that have nothing in common but the platform, and the people on their trips.

use anyhow::{Context, Result};
use comms_core::channels::vault::{Credentials, Owner, Vault};
use comms_core::model::{AccountId, ContactId, PassengerProfileId, TenantId, TripId, UserId};
use comms_simulator::{Number, Template};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::{Uuid, uuid};

/// The pillars' tables and the views over them.
pub const DOMAIN: &str = include_str!("../fixtures/domain.sql");

/// One tenant with a connected WhatsApp number.
#[derive(Debug, Clone)]
pub struct Operator {
    pub name: &'static str,
    pub tenant: TenantId,
    pub account: AccountId,
    pub phone_number_id: &'static str,
    pub waba_id: &'static str,
    pub display_number: &'static str,
    pub access_token: &'static str,
    pub agent: UserId,
    pub colleague: UserId,
}

/// The Spanish one.
#[must_use]
pub fn iberia() -> Operator {
    Operator {
        name: "Líneas Iberia",
        tenant: TenantId(uuid!("0192f000-0000-7000-8000-00000000000a")),
        account: AccountId(uuid!("0192f000-0000-7000-8000-0000000000aa")),
        phone_number_id: "100000000000001",
        waba_id: "200000000000001",
        display_number: "34911000001",
        access_token: "token-of-lineas-iberia",
        agent: UserId(uuid!("0192f000-0000-7000-8000-0000000000e1")),
        colleague: UserId(uuid!("0192f000-0000-7000-8000-0000000000e2")),
    }
}

/// The other one.
#[must_use]
pub fn albion() -> Operator {
    Operator {
        name: "Albion Coaches",
        tenant: TenantId(uuid!("0192f000-0000-7000-8000-00000000000b")),
        account: AccountId(uuid!("0192f000-0000-7000-8000-0000000000bb")),
        phone_number_id: "100000000000002",
        waba_id: "200000000000002",
        display_number: "34911000002",
        access_token: "token-of-albion-coaches",
        agent: UserId(uuid!("0192f000-0000-7000-8000-0000000000f1")),
        colleague: UserId(uuid!("0192f000-0000-7000-8000-0000000000f2")),
    }
}

/// Somebody with a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traveller {
    pub profile: PassengerProfileId,
    pub name: &'static str,
    pub phone: Option<&'static str>,
    pub email: Option<&'static str>,
    pub locale: Option<&'static str>,
}

impl Traveller {
    #[must_use]
    pub fn new(
        name: &'static str,
        phone: Option<&'static str>,
        locale: Option<&'static str>,
    ) -> Self {
        Self {
            profile: PassengerProfileId::generate(),
            name,
            phone,
            email: None,
            locale,
        }
    }

    /// The same one with a mailbox.
    #[must_use]
    pub fn with_email(self, email: &'static str) -> Self {
        Self {
            email: Some(email),
            ..self
        }
    }
}

/// A trip with one booking for all its travellers.
#[derive(Debug, Clone)]
pub struct Trip {
    pub id: TripId,
    pub tenant: TenantId,
    pub code: String,
    pub travellers: Vec<Traveller>,
}

impl Operator {
    /// The number as the provider simulator knows it.
    #[must_use]
    pub fn number(&self) -> Number {
        let templates = vec![
            Template::new("trip_delayed", "en", 5),
            Template::new("trip_delayed", "es", 5),
        ];
        Number {
            templates,
            ..Number::new(
                self.phone_number_id,
                self.waba_id,
                self.display_number,
                self.access_token,
            )
        }
    }

    /// Seals the access token as `channel-actions` will.
    ///
    /// # Errors
    /// When KMS does not seal.
    pub async fn provider_config(&self, vault: &Vault, verify_token_sha256: &str) -> Result<Value> {
        let owner = Owner {
            tenant: self.tenant,
            account: self.account,
        };
        let credentials = Credentials::of_token(self.access_token.into());
        let envelope = vault
            .seal(owner, 1, &credentials)
            .await
            .context("seal the access token")?;
        Ok(
            json!({"public": {"webhook_verify_token_sha256": verify_token_sha256}, "secrets": [envelope]}),
        )
    }

    /// Writes the tenant and its ACTIVE account. Again: the account gets the new configuration.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn write(&self, pool: &PgPool, provider_config: &Value) -> Result<()> {
        sqlx::query(
            "insert into communications.tenant_settings (tenant_id, name, default_locale, timezone)
             values ($1, $2, 'en', 'Europe/Madrid') on conflict (tenant_id) do nothing",
        )
        .bind(self.tenant)
        .bind(self.name)
        .execute(pool)
        .await?;
        sqlx::query(
            "insert into communications.channel_accounts
                 (tenant_id, id, channel, provider, status, display_name, sender, external_account_id, waba_id, provider_config)
             values ($1, $2, 'WHATSAPP', 'META', 'ACTIVE', $3, $4, $5, $6, $7)
             on conflict (tenant_id, id) do update set provider_config = excluded.provider_config",
        )
        .bind(self.tenant)
        .bind(self.account)
        .bind(self.name)
        .bind(format!("+{}", self.display_number))
        .bind(self.phone_number_id)
        .bind(self.waba_id)
        .bind(provider_config)
        .execute(pool)
        .await?;
        Ok(())
    }

    /// Gives the tenant an ACTIVE email domain beside its number.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn connect_email(&self, pool: &PgPool) -> Result<AccountId> {
        self.connect(pool, "EMAIL", "SES", &self.mail_domain())
            .await
    }

    /// Its email domain, once it is connected.
    #[must_use]
    pub fn mail_domain(&self) -> String {
        format!("mail-{}.example", self.phone_number_id)
    }

    /// Gives the tenant an ACTIVE SMS sender beside its number.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn connect_sms(&self, pool: &PgPool) -> Result<AccountId> {
        let sender = format!("+{}", self.display_number);
        self.connect(pool, "SMS", "EUM_SMS", &sender).await
    }

    /// An account without credentials: what intake needs, and no adapter.
    async fn connect(
        &self,
        pool: &PgPool,
        channel: &str,
        provider: &str,
        sender: &str,
    ) -> Result<AccountId> {
        let account = AccountId::generate();
        sqlx::query(
            "insert into communications.channel_accounts
                 (tenant_id, id, channel, provider, status, display_name, sender, external_account_id)
             values ($1, $2, $3, $4, 'ACTIVE', $5, $6, $6)",
        )
        .bind(self.tenant)
        .bind(account)
        .bind(channel)
        .bind(provider)
        .bind(self.name)
        .bind(sender)
        .execute(pool)
        .await?;
        Ok(account)
    }

    /// A trip that is on time, two hours from now, with everybody booked.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn schedule(
        &self,
        pool: &PgPool,
        code: &str,
        travellers: Vec<Traveller>,
    ) -> Result<Trip> {
        let trip = Trip {
            id: TripId::generate(),
            tenant: self.tenant,
            code: code.to_owned(),
            travellers,
        };
        for traveller in &trip.travellers {
            sqlx::query(
                "insert into operations.passenger_profiles (id, tenant_id, full_name, phone, locale, email)
                 values ($1, $2, $3, $4, $5, $6) on conflict (id) do nothing",
            )
            .bind(traveller.profile)
            .bind(self.tenant)
            .bind(traveller.name)
            .bind(traveller.phone)
            .bind(traveller.locale)
            .bind(traveller.email)
            .execute(pool)
            .await?;
        }
        sqlx::query(
            "insert into operations.trips (id, tenant_id, code, origin, destination, departure_at, timezone)
             values ($1, $2, $3, 'Madrid', 'Valencia', now() + interval '2 hours', 'Europe/Madrid')",
        )
        .bind(trip.id)
        .bind(self.tenant)
        .bind(code)
        .execute(pool)
        .await?;
        book(pool, &trip).await?;
        Ok(trip)
    }
}

async fn book(pool: &PgPool, trip: &Trip) -> Result<()> {
    let booking = Uuid::now_v7();
    let lead = trip
        .travellers
        .first()
        .context("a trip needs a traveller")?;
    sqlx::query(
        "insert into operations.bookings (id, tenant_id, trip_id, reference, lead_passenger_profile_id)
         values ($1, $2, $3, 'R-1', $4)",
    )
    .bind(booking)
    .bind(trip.tenant)
    .bind(trip.id)
    .bind(lead.profile)
    .execute(pool)
    .await?;
    let profiles: Vec<Uuid> = trip
        .travellers
        .iter()
        .map(|traveller| traveller.profile.0)
        .collect();
    sqlx::query(
        "insert into operations.booking_passengers (booking_id, tenant_id, passenger_profile_id)
         select $1, $2, profile from unnest($3::uuid[]) as p(profile)",
    )
    .bind(booking)
    .bind(trip.tenant)
    .bind(&profiles)
    .execute(pool)
    .await?;
    Ok(())
}

impl Trip {
    /// What the operations staff does: the trip is late. Answers the row before and after, as Hasura captures them.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn delay(&self, pool: &PgPool, minutes: i32) -> Result<(Value, Value)> {
        let before = self.row(pool).await?;
        sqlx::query(
            "update operations.trips
                set status = 'DELAYED', estimated_departure_at = departure_at + $2 * interval '1 minute', updated_at = now()
              where id = $1",
        )
        .bind(self.id)
        .bind(minutes)
        .execute(pool)
        .await?;
        Ok((before, self.row(pool).await?))
    }

    async fn row(&self, pool: &PgPool) -> Result<Value> {
        Ok(
            sqlx::query_scalar("select to_jsonb(t) from operations.trips t where id = $1")
                .bind(self.id)
                .fetch_one(pool)
                .await?,
        )
    }
}

/// Puts a refusal of automated messages on WhatsApp into the ledger.
///
/// # Errors
/// When the database refuses.
pub async fn opt_out(pool: &PgPool, tenant: TenantId, contact: ContactId) -> Result<()> {
    opt_out_of(pool, tenant, contact, "WHATSAPP").await
}

/// The same for any channel.
///
/// # Errors
/// When the database refuses.
pub async fn opt_out_of(
    pool: &PgPool,
    tenant: TenantId,
    contact: ContactId,
    channel: &str,
) -> Result<()> {
    sqlx::query(
        "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source)
         values ($1, $2, $3, $4, 'TRANSACTIONAL', false, 'request', 'agent')",
    )
    .bind(tenant)
    .bind(Uuid::now_v7())
    .bind(contact)
    .bind(channel)
    .execute(pool)
    .await?;
    Ok(())
}

/// What Meta would have approved: a template for each of the platform's own, with as many parameters.
///
/// # Errors
/// When the database refuses.
pub async fn approved(pool: &PgPool) -> Result<Vec<Template>> {
    let rows: Vec<(String, String, i32)> = sqlx::query_as(
        "select whatsapp_template ->> 'name', whatsapp_template ->> 'language', jsonb_array_length(whatsapp_template -> 'body')
           from communications.notification_templates
          where tenant_id = communications.platform_tenant() and channel = 'WHATSAPP' and trigger_event <> 'TRIP_DELAYED'",
    )
    .fetch_all(pool)
    .await?;
    let template = |(name, language, parameters): (String, String, i32)| {
        Template::new(&name, &language, parameters.try_into().unwrap_or_default())
    };
    Ok(rows.into_iter().map(template).collect())
}

/// The fixture domain, statement by statement.
///
/// # Errors
/// When the database refuses.
pub async fn domain(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(DOMAIN))
        .execute(pool)
        .await
        .context("apply tests/fixtures/domain.sql")?;
    Ok(())
}
