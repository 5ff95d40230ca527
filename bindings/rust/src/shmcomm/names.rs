// SPDX-License-Identifier: MIT
//! Names of channels and of their segments (section 1.5 of the specification).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::layout::*;
use crate::error::{Error, Result};
use crate::map::{full_name, path};

const SERVICE: &[u8] = b"/shmcomm_req_";
const REPLIES: &[u8] = b"/shmcomm_rep_";
/// What stands between the locator of a service and a number in the locators of its reply channels.
const OF_LOCATOR: &[u8] = b"_rep_";

/// The segment of the channel that a pattern (`PATTERN_PUBSUB` and so on) and a name make, with its leading slash. `number`: the
/// requester's endpoint number, for [`PATTERN_REPLY`]; else ignored.
///
/// # Errors
/// [`Error::InvalidName`] for a name that is not 1 to [`NAME_MAX`] characters of A-Z a-z 0-9 . _ and - [shmcomm.name.valid];
/// [`Error::InvalidArgument`] for another pattern, or a number that is not 1 to [`MAX_ENDPOINT`].
///
/// ```
/// use shmwire::shmcomm::{segment_name, PATTERN_PUBSUB, PATTERN_REPLY};
/// assert_eq!(segment_name(PATTERN_PUBSUB, "arm", 0)?, "/shmcomm_pub_arm");
/// assert_eq!(segment_name(PATTERN_REPLY, "sum", 17)?, "/shmcomm_rep_sum_17");
/// assert!(segment_name(PATTERN_PUBSUB, "no spaces", 0).is_err());
/// # Ok::<(), shmwire::Error>(())
/// ```
pub fn segment_name(pattern: u32, name: &str, number: u32) -> Result<String> {
    check_name(name.as_bytes())?;
    let kind = match pattern {
        PATTERN_PUBSUB => "pub",
        PATTERN_PIPELINE => "push",
        PATTERN_REQUEST => "req",
        PATTERN_REPLY if (1..=MAX_ENDPOINT).contains(&number) => return Ok(format!("/shmcomm_rep_{name}_{number}")),
        PATTERN_REPLY => return Err(Error::InvalidArgument("a requester's number is 1 to 2^31 - 1")),
        _ => return Err(Error::InvalidArgument("the pattern is not 1 to 4")),
    };
    Ok(format!("/shmcomm_{kind}_{name}"))
}

fn check_name(name: &[u8]) -> Result<()> {
    let fits = (1..=NAME_MAX as usize).contains(&name.len());
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if fits && name.iter().all(valid) {
        Ok(())
    } else {
        Err(Error::InvalidName)
    }
}

/// The segment of a channel: of its name, or the locator in its place.
pub(super) fn locate(pattern: u32, name: &Path) -> Result<PathBuf> {
    let bytes = name.as_os_str().as_bytes();
    if bytes.contains(&b'/') {
        return full_name(name, None);
    }
    let name = std::str::from_utf8(bytes).map_err(|_| Error::InvalidName)?;
    segment_name(pattern, name, 0).map(PathBuf::from)
}

/// What stands before the number in the locators of the reply channels of a service that was opened by `name`.
pub(super) fn reply_prefix(name: &Path) -> OsString {
    let bytes = name.as_os_str().as_bytes();
    let parts = if bytes.contains(&b'/') { [bytes, OF_LOCATOR] } else { [REPLIES, bytes] };
    let mut prefix = parts.concat();
    if !bytes.contains(&b'/') {
        prefix.push(b'_');
    }
    OsString::from_vec(prefix)
}

/// The same for a service known by the locator of its request channel, which some may have opened by name.
pub(super) fn reply_prefixes(locator: &Path) -> Vec<OsString> {
    let mut prefixes = vec![reply_prefix(locator)];
    if let Some(name) = locator.as_os_str().as_bytes().strip_prefix(SERVICE) {
        if check_name(name).is_ok() {
            prefixes.push(reply_prefix(Path::new(OsStr::from_bytes(name))));
        }
    }
    prefixes
}

pub(super) fn reply_locator(prefix: &OsStr, number: u32) -> PathBuf {
    let mut locator = prefix.to_os_string();
    locator.push(number.to_string());
    PathBuf::from(locator)
}

/// The reply channels that there are: the numbers behind a prefix.
pub(super) fn reply_numbers(prefix: &OsStr) -> Result<Vec<u32>> {
    let target = path(reply_locator(prefix, 1))?; // any number will do
    let directory = target.parent().unwrap_or_else(|| Path::new("/"));
    let start = Path::new(prefix).file_name().unwrap_or_default().as_bytes().to_vec();
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(number) = name.as_bytes().strip_prefix(&start[..]).and_then(number_of) {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// A number as names have it: decimal, without leading zeros.
fn number_of(digits: &[u8]) -> Option<u32> {
    let number: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    ((1..=MAX_ENDPOINT).contains(&number) && number.to_string().as_bytes() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let long = "n".repeat(201);
        for bad in ["", "a b", "ä", "a\0", long.as_str(), "a:b"] {
            assert_eq!(locate(PATTERN_PUBSUB, Path::new(bad)).expect_err(bad).code().name(), "INVALID_NAME");
        }
        assert_eq!(locate(PATTERN_PIPELINE, Path::new("A.z_0-")).expect("valid"), Path::new("/shmcomm_push_A.z_0-"));
        assert_eq!(locate(PATTERN_PIPELINE, Path::new("/own")).expect("a locator"), Path::new("/own"));
        assert_eq!(segment_name(5, "a", 0).expect_err("no pattern").code().name(), "INVALID_ARGUMENT");
        assert_eq!(segment_name(PATTERN_REPLY, "a", 1 << 31).expect_err("no number").code().name(), "INVALID_ARGUMENT");
    }

    #[test]
    fn reply_channels_have_their_services_names() {
        let text = |prefix: &OsStr, number| reply_locator(prefix, number).to_string_lossy().into_owned();
        assert_eq!(text(&reply_prefix(Path::new("sum")), 7), "/shmcomm_rep_sum_7");
        assert_eq!(text(&reply_prefix(Path::new("/tmp/sum")), 7), "/tmp/sum_rep_7");
        let both: Vec<String> = reply_prefixes(Path::new("/shmcomm_req_sum")).iter().map(|prefix| text(prefix, 1)).collect();
        assert_eq!(both, ["/shmcomm_req_sum_rep_1", "/shmcomm_rep_sum_1"]);
        assert_eq!(reply_prefixes(Path::new("/own")).len(), 1);
        for (digits, number) in [("7", Some(7)), ("07", None), ("0", None), ("7_7", None), ("2147483648", None), ("+7", None)] {
            assert_eq!(number_of(digits.as_bytes()), number, "{digits}");
        }
    }
}
