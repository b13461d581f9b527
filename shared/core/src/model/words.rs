//! The words that the database stores as checked text, as enums.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A stored word that this build does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} {word:?}")]
pub struct UnknownWord {
    kind: &'static str,
    word: String,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|known| known.as_str() == word)
                    .ok_or_else(|| UnknownWord { kind: stringify!($name), word: word.to_owned() })
            }
        }
    };
}

words! { Channel { WhatsApp = "WHATSAPP", Email = "EMAIL", Sms = "SMS", Webchat = "WEBCHAT" } }

words! {
    /// Which queue a message waits in. Agents never wait behind campaigns.
    Lane { Interactive = "INTERACTIVE", Transactional = "TRANSACTIONAL", Bulk = "BULK" }
}

words! {
    /// What a message is for; consent, expiry and the policy for doubtful sends follow from it.
    Category {
        Otp = "OTP",
        Transactional = "TRANSACTIONAL",
        Marketing = "MARKETING",
        /// An answer to somebody who wrote.
        Service = "SERVICE",
    }
}

words! {
    /// `messages.status`; the transitions stand in docs/notification-pipeline-protocol.md and in the database's trigger.
    MessageStatus {
        Queued = "QUEUED",
        Sending = "SENDING",
        Sent = "SENT",
        Delivered = "DELIVERED",
        Read = "READ",
        Failed = "FAILED",
        Uncertain = "UNCERTAIN",
        Suppressed = "SUPPRESSED",
        Simulated = "SIMULATED",
        Cancelled = "CANCELLED",
        Expired = "EXPIRED",
    }
}
