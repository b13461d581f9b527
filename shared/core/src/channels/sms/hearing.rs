//! What a number of the tenant's own hears. A sender id hears nothing, and what is written to a shared pool is nobody's.

use super::Run;
use crate::channels::provisioning::{Outcome, Stopped, failed};
use crate::platform::DatabaseError;
use comms_providers::FaultClass;

/// What takes people off AWS's list. Fewer than what we understand as START (`contacts::opt_out`): we look at a whole message, AWS at
/// how one begins. "Alta velocidad a Madrid?" and "Subscribe me to …" are no START, but would take somebody off who said STOP. START is
/// the carriers' own, and stays whatever begins with it.
const WORDS: &[&str] = &[
    "START",
    "UNSTOP",
    "OPTIN",
    "OPT IN",
    "DARME DE ALTA",
    "REANUDAR",
    "ANMELDEN",
];
/// To START.
const SPANISH: &str = "Vuelve a recibir nuestros mensajes. Responda STOP para darse de baja.";
const ENGLISH: &str = "You receive our messages again. Reply STOP to opt out.";

impl Run<'_> {
    /// Has what people write to the tenant's number come to us. A number that hears already stays as it is, whoever it tells: somebody has
    /// set it up. One that cannot hear sends all the same: it is no less than a sender id, and AWS keeps to a STOP that reaches it.
    pub(super) async fn hear(&self) -> Result<(), Stopped> {
        let Some(id) = &self.wanted.phone_number_id else {
            return Ok(());
        };
        if self.hears(id).await? {
            return Ok(());
        }
        match self.eum.hear_at(id, self.events_topic).await {
            Err(error) if error.class == FaultClass::WrongInput => {
                tracing::warn!(account.id = %self.attempt.account, code = error.code, "a number hears nothing");
                Ok(())
            }
            heard => heard.map_err(|error| failed(&error)),
        }
    }

    /// Whoever says START to the tenant's number hears from it again. `None` where nobody can say anything to what the tenant sends from.
    pub(super) async fn teach_words(&self) -> Result<Option<Outcome>, Stopped> {
        let Some(id) = &self.wanted.phone_number_id else {
            return Ok(None);
        };
        if !self.hears(id).await? {
            return Ok(None);
        }
        let answer = self.answer_to_start().await?;
        for word in WORDS {
            let taught = self.eum.opt_in_by(id, word, answer).await;
            taught.map_err(|error| failed(&error))?;
        }
        Ok(Some(Outcome::Done))
    }

    async fn hears(&self, id: &str) -> Result<bool, Stopped> {
        let found = self.eum.origination_number(id).await;
        let number = found.map_err(|error| failed(&error))?;
        Ok(number.is_some_and(|number| number.two_way))
    }

    /// What AWS answers, in the tenant's language or English: without letters that would make it two parts.
    async fn answer_to_start(&self) -> Result<&'static str, Stopped> {
        let mut tx = self.database.begin().await?;
        let locale = sqlx::query_scalar!(
            "select default_locale from communications.tenant_settings where tenant_id = $1",
            self.attempt.tenant.0
        )
        .fetch_optional(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        tx.commit().await?;
        Ok(match locale {
            Some(locale) if locale.starts_with("es") => SPANISH,
            _ => ENGLISH,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contacts::opt_out::{Wish, wish};
    use crate::model::Channel;

    #[test]
    fn whoever_is_taken_off_awss_list_is_taken_off_ours() {
        for word in WORDS {
            assert_eq!(wish(word, Channel::Sms), Some(Wish::Start), "{word}");
        }
    }

    #[test]
    fn no_question_about_a_trip_begins_with_a_word() {
        for text in ["Alta velocidad a Madrid?", "Subscribe me to delays of 7"] {
            let text = text.to_uppercase();
            assert!(!WORDS.iter().any(|word| text.starts_with(word)), "{text}");
        }
    }
}
