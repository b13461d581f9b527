//! Pure types: ids, channels, the words of the state machines. No I/O.

mod effect;
mod ids;
mod job;
mod words;

pub use effect::Effect;
pub use ids::{
    AccountId, ContactId, ConversationId, MediaId, MergeId, MessageId, Owner, PassengerProfileId,
    ReviewId, RunId, TemplateId, TenantId, TripId, UserId,
};
pub use job::{
    BatchDispatchJob, DispatchJob, DispatchMessageJob, FetchMediaJob, GiveReceiptJob, JobError,
};
pub use words::{Category, Channel, Lane, MessageStatus, UnknownWord};
