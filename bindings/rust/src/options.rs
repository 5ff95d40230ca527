// SPDX-License-Identifier: MIT
//! What the option builders of all profiles have in common: values of a few fields, copied with one of them changed.

/// `Default` as `new` gives it, and one setter a field.
macro_rules! setters {
    ($builder:ident { $($(#[$doc:meta])* $field:ident: $kind:ty,)* }) => {
        impl Default for $builder {
            fn default() -> $builder {
                $builder::new()
            }
        }

        #[allow(clippy::needless_update)] // in a builder of one field
        impl $builder {
            $($(#[$doc])*
            #[must_use]
            pub const fn $field(self, $field: $kind) -> $builder {
                $builder { $field, ..self }
            })*
        }
    };
}

/// `ready_timeout`, which sets the field `ready` of those who open.
macro_rules! ready_timeout {
    ($builder:ident) => {
        impl $builder {
            /// How long to wait for a creator who has not published the segment yet.
            #[must_use]
            pub fn ready_timeout(self, ready: impl Into<$crate::wait::Wait>) -> $builder {
                $builder { ready: ready.into(), ..self }
            }
        }
    };
}

pub(crate) use {ready_timeout, setters};
