//! Who somebody is: aliases in, one contact out.

mod resolve;

pub use resolve::{Alias, AliasKind, Sighting, resolve};
