//! Did a person write this, or a program?

/// What kind of program wrote a mail. Only `No` is answered by programs of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Automatic {
    /// A person did, as far as one can tell.
    No,
    /// An absence notice, or another program's answer.
    AutoReply,
    /// A report that a mail did not arrive.
    Bounce,
    /// To many people at once.
    List,
    /// A mail of our own that came back: never to be taken for a customer's.
    Loop,
}
