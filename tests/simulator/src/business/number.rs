//! Numbers of an account: listed, read, registered and given up.

use super::{HOUR, WabaNumber, unseen};
use crate::cloud::errors::ApiError;
use crate::state::State;
use crate::{Number, Refused};
use serde_json::{Value, json};

/// Registrations and deregistrations of a number in 72 hours.
const REGISTRATIONS: usize = 10;
/// Wrong PINs after which none is taken for [`PIN_BLOCK`].
const WRONG_PINS: usize = 5;
const PIN_BLOCK: u64 = HOUR;
const LONG: u64 = 72 * HOUR;

impl State {
    pub(super) fn plant_number(
        &mut self,
        waba_id: &str,
        number: &WabaNumber,
    ) -> Result<(), Refused> {
        let id = &number.phone_number_id;
        if self.number(id).is_ok_and(|known| known.waba_id != waba_id) {
            return Err(Refused(format!("numbers: {id:?} is in another account")));
        }
        if self.number(id).is_err() {
            // Only a token of a signup is good for it; this one nobody has.
            let nobody = crate::state::new_wamid();
            let mut known = Number::new(id, waba_id, &number.display_phone_number, &nobody);
            known.auto_statuses.clone_from(&number.auto_statuses);
            known.registered = number.registered;
            self.register(known);
            self.businesses.planted.insert(id.clone());
        }
        Ok(())
    }

    /// `GET /{waba}/phone_numbers`.
    pub(crate) fn list_numbers(
        &mut self,
        waba_id: &str,
        page: &super::template::Cut,
    ) -> Result<Value, ApiError> {
        let numbers = self.businesses.account(waba_id)?.waba.numbers.clone();
        page.of(&numbers.iter().map(described).collect::<Vec<_>>())
    }

    /// `GET /{number}`.
    pub(crate) fn read_number(&mut self, id: &str) -> Result<Value, ApiError> {
        Ok(described(self.waba_number(id)?))
    }

    /// `POST /{number}/register`.
    pub(crate) fn register_number(&mut self, id: &str, body: &Value) -> Result<Value, ApiError> {
        let pin = body["pin"].as_str().unwrap_or_default().to_owned();
        let is_pin = pin.len() == 6 && pin.bytes().all(|byte| byte.is_ascii_digit());
        if body["messaging_product"] != "whatsapp" || !is_pin {
            return Err(ApiError::new(
                100,
                "messaging_product and a pin of six digits.",
            ));
        }
        self.count_registration(id)?;
        let (home, now) = (self.businesses.home(id)?, self.businesses.now());
        let number = self.waba_number(id)?;
        if !number.verified {
            return Err(ApiError::new(133_006, "Verify the number first."));
        }
        let wrong = number.pin.as_ref().is_some_and(|known| *known != pin);
        let tries = self.businesses.account(&home)?.tries(id);
        tries
            .wrong_pins
            .retain(|at| now.saturating_sub(*at) < PIN_BLOCK);
        if tries.wrong_pins.len() >= WRONG_PINS {
            return Err(ApiError::new(133_008, "Try again in an hour."));
        }
        if wrong {
            tries.wrong_pins.push(now);
            return Err(ApiError::new(
                133_005,
                &format!("The PIN {pin} is not the number's."),
            ));
        }
        let number = self.waba_number(id)?;
        number.pin = Some(pin);
        self.set_registered(id, true)
    }

    /// `POST /{number}/deregister`.
    pub(crate) fn deregister_number(&mut self, id: &str) -> Result<Value, ApiError> {
        if !self.waba_number(id)?.registered {
            return Err(ApiError::new(133_010, "The number is not registered."));
        }
        self.count_registration(id)?;
        self.set_registered(id, false)
    }

    fn count_registration(&mut self, id: &str) -> Result<(), ApiError> {
        let (home, now) = (self.businesses.home(id)?, self.businesses.now());
        let tries = self.businesses.account(&home)?.tries(id);
        tries
            .registrations
            .retain(|at| now.saturating_sub(*at) < LONG);
        if tries.registrations.len() >= REGISTRATIONS {
            return Err(ApiError::new(
                133_016,
                "Too many registrations in 72 hours.",
            ));
        }
        tries.registrations.push(now);
        Ok(())
    }

    fn set_registered(&mut self, id: &str, registered: bool) -> Result<Value, ApiError> {
        self.waba_number(id)?.registered = registered;
        self.change_number(id, |number| number.registered = registered);
        Ok(json!({ "success": true }))
    }

    pub(super) fn waba_number(&mut self, id: &str) -> Result<&mut WabaNumber, ApiError> {
        let home = self.businesses.home(id)?;
        let numbers = &mut self.businesses.account(&home)?.waba.numbers;
        let number = numbers
            .iter_mut()
            .find(|number| number.phone_number_id == id);
        number.ok_or_else(unseen)
    }
}

fn described(number: &WabaNumber) -> Value {
    let verified = if number.verified {
        "VERIFIED"
    } else {
        "NOT_VERIFIED"
    };
    let status = if number.registered {
        "CONNECTED"
    } else {
        "PENDING"
    };
    let platform = if number.registered {
        "CLOUD_API"
    } else {
        "NOT_APPLICABLE"
    };
    json!({
        "id": number.phone_number_id,
        "display_phone_number": format!("+{}", number.display_phone_number),
        "verified_name": number.verified_name,
        "name_status": number.name_status,
        "status": status,
        "quality_rating": number.quality_rating,
        "platform_type": platform,
        "throughput": { "level": number.throughput },
        "whatsapp_business_manager_messaging_limit": number.tier,
        "code_verification_status": verified,
        "is_on_biz_app": false,
    })
}
