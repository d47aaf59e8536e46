use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::invalid::excerpt;

/// The longest name or id, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

const NAME_MEND: &str = "Use 1 to 128 of the characters A-Z a-z 0-9 . _ -";

fn check(field: &str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(field, "is empty", NAME_MEND));
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(Invalid::new(field, format!("has {} bytes", text.len()), NAME_MEND));
    }
    // A path segment of dots is resolved away by many clients before it reaches us.
    if text.bytes().all(|b| b == b'.') {
        return Err(Invalid::new(
            field,
            format!("is {}", excerpt(text)),
            "Use at least one letter or digit.",
        ));
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !text.bytes().all(allowed) {
        return Err(Invalid::new(field, format!("is {}", excerpt(text)), NAME_MEND));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                check($field, text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name_type!(
    /// The name of a service: 1 to 128 of `[A-Za-z0-9._-]`. Cheap to clone.
    ServiceName,
    "service"
);

name_type!(
    /// The id of an instance within its service: 1 to 128 of `[A-Za-z0-9._-]`. Cheap to clone.
    InstanceId,
    "id"
);

impl ServiceName {
    /// Whether the name is one of Berth's own, which a balancer does not serve to clients.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with('_')
    }
}
