//! Two operators on a running stack: rows, sealed credentials, and their numbers at the provider simulator.

use anyhow::{Context, Result};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_lc_rs::digest;
use comms_core::channels::Vault;
use comms_core::platform::Aws;
use comms_tests::seed::{self, Operator};
use comms_tests::stack::{Stack, setting};
use serde_json::{Value, json};

/// Safe to repeat: rows stay, credentials are sealed again with this stack's key, numbers are registered again.
/// Prints what an outside client needs as `KEY=value`.
pub async fn seed() -> Result<()> {
    let stack = Stack::from_env().await?;
    seed::domain(&stack.pool).await?;
    let vault = Vault::new(&Aws::default(), &setting("KMS_KEY_ID")?);
    let token = hex::encode(digest::digest(
        &digest::SHA256,
        setting("META_VERIFY_TOKEN")?.as_bytes(),
    ));
    for (name, operator) in [("A", seed::iberia()), ("B", seed::albion())] {
        let config = operator.provider_config(&vault, &token).await?;
        operator
            .write(&stack.pool, &config)
            .await
            .with_context(|| format!("write {}", operator.name))?;
        register(&stack, &operator).await?;
        other_senders(&stack, &operator).await?;
        println!("TENANT_{name}={}", operator.tenant);
        println!("TENANT_{name}_PHONE_NUMBER_ID={}", operator.phone_number_id);
        println!("TENANT_{name}_WABA_ID={}", operator.waba_id);
        println!("TENANT_{name}_DISPLAY_NUMBER={}", operator.display_number);
        println!("TENANT_{name}_ACCESS_TOKEN={}", operator.access_token);
        println!("TENANT_{name}_AGENT={}", operator.agent);
        println!("TENANT_{name}_COLLEAGUE={}", operator.colleague);
    }
    standing_trips(&stack).await
}

/// The provider knows the number, its token and its templates, and reports every message as far as READ.
async fn register(stack: &Stack, operator: &Operator) -> Result<()> {
    let callback = format!(
        "{}/api/webhooks/meta/{}",
        setting("API_URL")?,
        operator.tenant
    );
    let mut templates: Vec<Value> = ["en", "es"]
        .iter()
        .map(|language| json!({"name": "trip_delayed", "language": language, "parameters": 5}))
        .collect();
    let approved = seed::approved(&stack.pool).await?;
    templates.extend(approved.iter().map(|template| {
        json!({"name": template.name, "language": template.language, "parameters": template.parameters})
    }));
    let number = json!({
        "phone_number_id": operator.phone_number_id,
        "waba_id": operator.waba_id,
        "display_phone_number": operator.display_number,
        "access_token": operator.access_token,
        "callback_url": callback,
        "auto_statuses": ["sent", "delivered", "read"],
        "templates": templates,
        "enforce_window": true,
    });
    stack.simulator("numbers", &number).await?;
    Ok(())
}

/// An email domain at SES and an SMS sender at SNS, as they were set up by hand.
async fn other_senders(stack: &Stack, operator: &Operator) -> Result<()> {
    let domain = format!("{}.example", operator.phone_number_id);
    verify(stack, &domain).await?;
    let from = format!("viajes@{domain}");
    let email =
        json!({"public": {"from_address": from, "from_name": operator.name}, "secrets": []});
    let sms = json!({"public": {"sender_id": "TRAVEL"}, "secrets": []});
    for (channel, provider, suffix, config) in
        [("EMAIL", "SES", "e", email), ("SMS", "SNS", "5", sms)]
    {
        sqlx::query(
            "insert into communications.channel_accounts
                 (tenant_id, id, channel, provider, status, display_name, sender, external_account_id, provider_config)
             values ($1, overlay($2::text placing $3 from 36)::uuid, $4, $5, 'ACTIVE', $6, $7, $7, $8)
             on conflict (tenant_id, id) do update set provider_config = excluded.provider_config",
        )
        .bind(operator.tenant)
        .bind(operator.account)
        .bind(suffix)
        .bind(channel)
        .bind(provider)
        .bind(operator.name)
        .bind(format!("{}.{channel}", operator.phone_number_id))
        .bind(config)
        .execute(&stack.pool)
        .await
        .with_context(|| format!("connect {channel} for {}", operator.name))?;
    }
    Ok(())
}

/// SES, which the simulator plays, knows the domain and has found its records.
async fn verify(stack: &Stack, domain: &str) -> Result<()> {
    let aws = Aws::default();
    let shared = aws.config().await;
    // Made anew: a copy of the shared one would ask the environment for the endpoint.
    let ses = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(shared.region().cloned())
        .credentials_provider(shared.credentials_provider().context("no credentials")?)
        .endpoint_url(setting("SIMULATOR_URL")?)
        .build();
    let created = aws_sdk_sesv2::Client::new(&ses)
        .create_email_identity()
        .email_identity(domain)
        .send()
        .await;
    match created.map_err(aws_sdk_sesv2::error::SdkError::into_service_error) {
        Err(error) if !error.is_already_exists_exception() => return Err(error.into()),
        _ => {}
    }
    let found = json!({"domain": domain, "dkim": "SUCCESS"});
    stack.simulator("aws/domains", &found).await?;
    Ok(())
}

/// One trip a tenant with two passengers, with the ids that the files in events/ use.
async fn standing_trips(stack: &Stack) -> Result<()> {
    for (name, operator, suffix) in [("A", seed::iberia(), "a1"), ("B", seed::albion(), "b1")] {
        sqlx::query(
            "with people as (
                 insert into operations.passenger_profiles (id, tenant_id, full_name, phone, locale)
                 values (($2 || 'c1')::uuid, $1, 'Ana García', '+34600111222', 'es'),
                        (($2 || 'c2')::uuid, $1, 'Tom Baker', '+447700900123', 'en')
                 on conflict (id) do nothing),
             trip as (
                 insert into operations.trips (id, tenant_id, code, origin, destination, departure_at, timezone)
                 values (($2 || $3)::uuid, $1, 'MAD-VLC-0815', 'Madrid', 'Valencia', now() + interval '2 hours', 'Europe/Madrid')
                 on conflict (id) do nothing),
             booking as (
                 insert into operations.bookings (id, tenant_id, trip_id, reference, lead_passenger_profile_id)
                 values (($2 || 'd1')::uuid, $1, ($2 || $3)::uuid, 'R-0815', ($2 || 'c1')::uuid)
                 on conflict (id) do nothing)
             insert into operations.booking_passengers (booking_id, tenant_id, passenger_profile_id)
             values (($2 || 'd1')::uuid, $1, ($2 || 'c1')::uuid), (($2 || 'd1')::uuid, $1, ($2 || 'c2')::uuid)
             on conflict do nothing",
        )
        .bind(operator.tenant)
        .bind(prefix(name))
        .bind(suffix)
        .execute(&stack.pool)
        .await?;
        println!("TENANT_{name}_TRIP={}{suffix}", prefix(name));
    }
    Ok(())
}

/// All but the last two digits of the tenant's fixture ids.
fn prefix(name: &str) -> &'static str {
    if name == "A" {
        "0192f000-0000-7000-8000-0000000000"
    } else {
        "0192f000-0000-7000-8000-0000000001"
    }
}
