//! Who somebody is: aliases in, one contact out; and two contacts that turn out to be one person.

mod alias;
mod block;
mod decide;
mod mask;
mod merge;
pub mod opt_out;
mod owners;
mod resolve;
pub mod variants;

pub use alias::{Alias, AliasKind, Sighting};
pub use block::{block, unblock};
pub use decide::{Decisions, decide};
pub use mask::mask;
pub use merge::{MergeError, Merged, dismiss_review, merge, unmerge};
pub use opt_out::Wish;
pub use owners::Known;
pub use resolve::{resolve, to_look_up};
