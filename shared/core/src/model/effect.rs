//! What a provider's answer or report means for others than the message that it is about.

/// The words are those of `communications.apply_effects`; a bounce and a complaint are `communications.apply_reported`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    None,
    /// The credentials are refused: the account waits until it is authorised again.
    ParkAuth,
    /// Stopped by the provider: the account waits until the pause ends or a person resumes it.
    ParkHold,
    /// Too fast: nobody sends on the account during the pause.
    Throttle,
    /// Too fast for all that we send through this provider.
    ThrottleProvider,
    /// Too fast for this recipient.
    Pair,
    /// The provider's fault, which its breaker counts.
    Trouble,
    /// The recipient wants no more of this channel.
    OptOut,
    OptOutMarketing,
    /// Refused for the account's own sake: somebody must mend it.
    Notice,
    /// Nobody has this address.
    Bounce,
    /// Whoever has this address has complained.
    Complaint,
}

impl Effect {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::ParkAuth => "PARK_AUTH",
            Self::ParkHold => "PARK_HOLD",
            Self::Throttle => "THROTTLE",
            Self::ThrottleProvider => "THROTTLE_PROVIDER",
            Self::Pair => "PAIR",
            Self::Trouble => "TROUBLE",
            Self::OptOut => "OPT_OUT",
            Self::OptOutMarketing => "OPT_OUT_MARKETING",
            Self::Notice => "NOTICE",
            Self::Bounce => "BOUNCE",
            Self::Complaint => "COMPLAINT",
        }
    }
}
