//! Who somebody is: aliases in, one contact out.

pub mod opt_out;
mod resolve;

pub use opt_out::Wish;
pub use resolve::{Alias, AliasKind, Decisions, Known, Sighting, decide, resolve};
