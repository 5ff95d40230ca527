// SPDX-License-Identifier: MIT
//! Requests and replies: fields, bytes, failures.

use std::time::Duration;

use serde_json::{json, Map, Value};
use sha2::{Digest, Sha256};

/// Bytes up to which a reply carries data whole.
const INLINE: usize = 4096;
/// Longest data that a request may ask for by pattern.
const LONGEST_DATA: u64 = 64 << 20;

/// The content of `ok`, or what goes into `err`.
pub type Outcome = Result<Value, Failure>;

/// What goes into `err`.
#[derive(Clone, Debug)]
pub struct Failure {
    code: &'static str,
    detail: String,
    needed: Option<u64>,
    done: Option<u64>,
}

impl Failure {
    pub fn new(code: &'static str, detail: impl Into<String>) -> Failure {
        Failure { code, detail: detail.into(), needed: None, done: None }
    }

    /// So many items came before what failed.
    pub fn with_done(self, done: u64) -> Failure {
        Failure { done: Some(done), ..self }
    }

    pub fn bad_request(detail: impl Into<String>) -> Failure {
        Failure::new("BAD_REQUEST", detail)
    }

    pub fn internal(detail: impl Into<String>) -> Failure {
        Failure::new("INTERNAL", detail)
    }

    pub fn truncated() -> Failure {
        Failure::new("TRUNCATED", "the segment was shortened under its mapping")
    }

    pub fn code(&self) -> &'static str {
        self.code
    }

    pub fn into_reply(self, id: &Value) -> Value {
        let mut err = json!({"code": self.code, "detail": self.detail});
        if let Some(needed) = self.needed {
            err["needed"] = text(needed);
        }
        if let Some(done) = self.done {
            err["done"] = json!(done);
        }
        json!({"id": id, "err": err})
    }
}

impl From<shmwire::Error> for Failure {
    fn from(error: shmwire::Error) -> Failure {
        let needed = match error {
            shmwire::Error::TooSmall { needed } => Some(needed),
            _ => None,
        };
        Failure { code: error.code().name(), detail: error.to_string(), needed, done: None }
    }
}

/// A request, or an object inside of one.
#[derive(Clone, Copy)]
pub struct Request<'a>(&'a Map<String, Value>);

impl<'a> Request<'a> {
    pub fn new(body: &'a Map<String, Value>) -> Request<'a> {
        Request(body)
    }

    fn field(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub fn has(&self, key: &str) -> bool {
        self.field(key).is_some()
    }

    pub fn text(&self, key: &str) -> Result<&'a str, Failure> {
        let value = self.field(key).and_then(Value::as_str);
        value.ok_or_else(|| Failure::bad_request(format!("{key} is missing or not a string")))
    }

    /// Index of a string field in a list of words.
    pub fn one_of(&self, key: &str, words: &[&str]) -> Result<usize, Failure> {
        let word = self.text(key)?;
        let found = words.iter().position(|&candidate| candidate == word);
        found.ok_or_else(|| Failure::bad_request(format!("{key} is not one of {}", words.join(", "))))
    }

    /// An integer, as a JSON number or as a decimal string.
    pub fn optional_number(&self, key: &str, max: u64) -> Result<Option<u64>, Failure> {
        let value = match self.field(key) {
            None => return Ok(None),
            Some(Value::String(digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            Some(value) => value.as_u64(),
        };
        match value {
            Some(number) if number <= max => Ok(Some(number)),
            _ => Err(Failure::bad_request(format!("{key} is not an integer from 0 to {max}"))),
        }
    }

    pub fn number(&self, key: &str, max: u64) -> Result<u64, Failure> {
        self.optional_number(key, max)?.ok_or_else(|| Failure::bad_request(format!("{key} is missing")))
    }

    pub fn flag(&self, key: &str) -> Result<bool, Failure> {
        match self.field(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| Failure::bad_request(format!("{key} is neither true nor false"))),
        }
    }

    /// A list; none is an empty one.
    pub fn list(&self, key: &str) -> Result<&'a [Value], Failure> {
        match self.field(key) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(Failure::bad_request(format!("{key} is not a list"))),
        }
    }

    /// A list of objects.
    pub fn objects(&self, key: &str) -> Result<Vec<Request<'a>>, Failure> {
        let object = |value: &'a Value| value.as_object().map(Request);
        let objects: Option<Vec<_>> = self.list(key)?.iter().map(object).collect();
        objects.ok_or_else(|| Failure::bad_request(format!("{key} holds something else than objects")))
    }

    pub fn object(&self, key: &str) -> Result<Request<'a>, Failure> {
        let object = self.field(key).and_then(Value::as_object);
        object.map(Request).ok_or_else(|| Failure::bad_request(format!("{key} is missing or not an object")))
    }

    /// An object; none is an empty one, as it were.
    pub fn optional_object(&self, key: &str) -> Result<Options<'a>, Failure> {
        if self.has(key) {
            self.object(key).map(|object| Options(Some(object)))
        } else {
            Ok(Options(None))
        }
    }

    pub fn timeout(&self) -> Result<Duration, Failure> {
        Ok(Duration::from_millis(self.optional_number("timeout_ms", u64::from(u32::MAX))?.unwrap_or(0)))
    }

    /// Bytes, in either form of the protocol.
    pub fn bytes(&self, key: &str) -> Result<Vec<u8>, Failure> {
        let value = self.object(key)?;
        if value.has("hex") {
            return from_hex(value.text("hex")?).ok_or_else(|| Failure::bad_request(format!("{key}.hex is not lower-case hex")));
        }
        value.number("pat", 1)?;
        let (seed, length) = (value.number("seed", u64::MAX)?, value.number("len", LONGEST_DATA)?);
        Ok((0..length).map(|i| pattern(seed, i)).collect())
    }
}

/// An object that need not be there.
#[derive(Clone, Copy)]
pub struct Options<'a>(Option<Request<'a>>);

impl<'a> Options<'a> {
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, Failure> {
        match self.0 {
            Some(object) if object.has(key) => object.text(key).map(Some),
            _ => Ok(None),
        }
    }

    pub fn number(&self, key: &str, max: u64) -> Result<Option<u64>, Failure> {
        self.0.map_or(Ok(None), |object| object.optional_number(key, max))
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>, Failure> {
        match self.0 {
            Some(object) if object.has(key) => object.flag(key).map(Some),
            _ => Ok(None),
        }
    }

    pub fn one_of(&self, key: &str, words: &[&str]) -> Result<Option<usize>, Failure> {
        match self.0 {
            Some(object) if object.has(key) => object.one_of(key, words).map(Some),
            _ => Ok(None),
        }
    }

    /// An object in this one; none is an empty one again.
    pub fn object(&self, key: &str) -> Result<Options<'a>, Failure> {
        self.0.map_or(Ok(Options(None)), |object| object.optional_object(key))
    }

    /// An octal string.
    pub fn octal(&self, key: &str) -> Result<Option<u32>, Failure> {
        match self.0 {
            Some(object) if object.has(key) => {
                let value = u32::from_str_radix(object.text(key)?, 8);
                value.map(Some).map_err(|_| Failure::bad_request(format!("{key} is not octal")))
            }
            _ => Ok(None),
        }
    }
}

/// Byte `i` of pattern 1.
pub fn pattern(seed: u64, i: u64) -> u8 {
    seed.wrapping_mul(31).wrapping_add(i.wrapping_mul(17)).wrapping_add((i >> 8).wrapping_mul(101)) as u8
}

impl<'a> From<Request<'a>> for Options<'a> {
    fn from(object: Request<'a>) -> Options<'a> {
        Options(Some(object))
    }
}

/// An answer as `st` has it.
pub fn word<T>(answer: &shmwire::Answer<T>) -> String {
    answer.code().name().to_lowercase()
}

/// A number as a decimal string.
pub fn text(number: impl Into<u64>) -> Value {
    Value::String(number.into().to_string())
}

/// Bytes as replies carry them.
pub fn bytes(data: &[u8]) -> Value {
    if data.len() <= INLINE {
        return json!({ "hex": to_hex(data) });
    }
    json!({"len": data.len().to_string(), "sha256": to_hex(&Sha256::digest(data)), "head": to_hex(&data[..32])})
}

/// Bytes in lower-case hex.
pub fn to_hex(data: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    data.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if hex.len() % 2 != 0 {
        return None;
    }
    hex.as_bytes().chunks(2).map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("a JSON object")
    }

    #[test]
    fn integers_travel_in_both_forms() {
        let body =
            request(r#"{"a": 7, "b": "18446744073709551615", "c": "18446744073709551616", "d": 1.5, "e": "+1", "f": null}"#);
        let request = Request::new(&body);
        assert_eq!(request.number("a", 7).expect("a number"), 7);
        assert_eq!(request.number("b", u64::MAX).expect("a number"), u64::MAX);
        for bad in ["c", "d", "e"] {
            assert!(request.number(bad, u64::MAX).is_err(), "{bad}");
        }
        assert!(request.number("a", 6).is_err());
        assert_eq!(request.optional_number("f", 1).expect("absent"), None);
    }

    #[test]
    fn bytes_in_and_out() {
        let body = request(
            r#"{"x": {"hex": "00ff"}, "p": {"pat": 1, "seed": 7, "len": 5000}, "odd": {"hex": "0"}, "up": {"hex": "FF"}}"#,
        );
        let request = Request::new(&body);
        assert_eq!(request.bytes("x").expect("hex"), [0, 255]);
        let long = request.bytes("p").expect("a pattern");
        assert_eq!((long[0], long[1], long[256]), (217, 234, ((31 * 7 + 17 * 256 + 101) % 256) as u8));
        assert!(request.bytes("odd").is_err() && request.bytes("up").is_err() && request.bytes("none").is_err());
        assert_eq!(bytes(&[0, 255]), json!({"hex": "00ff"}));
        let digest = bytes(&long);
        assert_eq!((digest["len"].as_str(), digest["head"].as_str().map(str::len)), (Some("5000"), Some(64)));
    }
}
