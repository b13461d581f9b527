//! A new migration is a change of this crate, which holds them all.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
