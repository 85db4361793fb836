//! Phases: the stages that a plan of a kind of job is made of. Each has one name, which the plan, `explain` and `job show` use.

/// A phase of some kind of job.
pub trait Phase: Copy {
    /// What people and the journal call it.
    fn name(self) -> &'static str;
}

/// Declares the phases of a kind.
macro_rules! phases {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$about:meta])* $phase:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$about])* $phase,)+
        }

        impl $crate::phase::Phase for $name {
            fn name(self) -> &'static str {
                match self {
                    $($name::$phase => $text,)+
                }
            }
        }
    };
}

pub(crate) use phases;
