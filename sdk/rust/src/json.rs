//! A little JSON, for plugins that want no other crate: they build without a network, and are smaller than with `serde`,
//! which works as well.
//!
//! ```
//! use eshost::json::Json;
//!
//! let data = Json::parse(br#"{"name":"Ada","amount":1250}"#)?;
//! assert_eq!(data.text("name")?, "Ada");
//! assert_eq!(data.number::<i64>("amount")?, 1250);
//!
//! let document = Json::object([("name", "Ada".into()), ("count", 2.into())]);
//! assert_eq!(document.to_string(), r#"{"name":"Ada","count":2}"#);
//! # Ok::<(), String>(())
//! ```
//!
//! The errors are texts for people, to be given to [`reject`](crate::reject) or [`retry`](crate::retry).

use std::fmt::{self, Write};

const MAX_DEPTH: usize = 256;

/// A JSON value. A number is as it is written, an object's members are in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A string, without its escapes.
    Text(String),
    /// A list.
    Array(Vec<Json>),
    /// Names and values, in their order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a JSON text (RFC 8259), nested at most 256 deep. The error says at which byte it is none.
    pub fn parse(text: &[u8]) -> Result<Json, String> {
        let text = std::str::from_utf8(text).map_err(|e| e.to_string())?;
        let mut reader = Reader { text, at: 0 };
        match reader.value(MAX_DEPTH) {
            Some(value) if reader.at == text.len() => Ok(value),
            _ => Err(format!("not JSON at byte {}", reader.at)),
        }
    }

    /// An object to be written.
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
        Json::Object(members.map(|(name, value)| (name.to_string(), value)).to_vec())
    }

    /// The member of that name, of several the last one. `None` too if this is no object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text under a name. There must be one.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        match self.get(name) {
            Some(Json::Text(text)) => Ok(text),
            _ => Err(format!("{name:?} is not a text")),
        }
    }

    /// The number under a name, as any type of integer or float. There must be one, and it must fit.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, String> {
        match self.get(name) {
            Some(Json::Number(digits)) => digits.parse().map_err(|_| format!("{name:?} must not be {digits}")),
            _ => Err(format!("{name:?} is not a number")),
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::Text(text.to_string())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::Text(text)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Json {
        Json::Bool(value)
    }
}

macro_rules! from_integer {
    ($($integer:ty)*) => {
        $(impl From<$integer> for Json {
            fn from(number: $integer) -> Json {
                Json::Number(number.to_string())
            }
        })*
    };
}
from_integer!(i32 i64 u32 u64 usize);

/// The JSON text, without white space.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => write!(f, "{value}"),
            Json::Number(digits) => f.write_str(digits),
            Json::Text(text) => quote(f, text),
            Json::Array(items) => list(f, "[", items, "]", |f, item| write!(f, "{item}")),
            Json::Object(members) => list(f, "{", members, "}", |f, (name, value)| {
                quote(f, name)?;
                write!(f, ":{value}")
            }),
        }
    }
}

fn list<T>(
    f: &mut fmt::Formatter,
    begin: &str,
    items: &[T],
    end: &str,
    item: impl Fn(&mut fmt::Formatter, &T) -> fmt::Result,
) -> fmt::Result {
    f.write_str(begin)?;
    for (i, one) in items.iter().enumerate() {
        if i > 0 {
            f.write_char(',')?;
        }
        item(f, one)?;
    }
    f.write_str(end)
}

fn quote(f: &mut fmt::Formatter, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\u{8}' => f.write_str("\\b")?,
            '\u{c}' => f.write_str("\\f")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c < ' ' => write!(f, "\\u{:04x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// Reads JSON from its beginning. `None` means that it is none, at that byte.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// A value with the white space around it.
    fn value(&mut self, depth: usize) -> Option<Json> {
        self.space();
        let value = match self.peek()? {
            b'{' => Json::Object(self.items(depth, b'}', |r, depth| {
                r.space();
                let name = r.string()?;
                r.space();
                r.byte(b':')?;
                Some((name, r.value(depth)?))
            })?),
            b'[' => Json::Array(self.items(depth, b']', |r, depth| r.value(depth))?),
            b'"' => Json::Text(self.string()?),
            b't' => self.word("true", Json::Bool(true))?,
            b'f' => self.word("false", Json::Bool(false))?,
            b'n' => self.word("null", Json::Null)?,
            _ => self.number()?,
        };
        self.space();
        Some(value)
    }

    fn items<T>(&mut self, depth: usize, end: u8, mut item: impl FnMut(&mut Self, usize) -> Option<T>) -> Option<Vec<T>> {
        let depth = depth.checked_sub(1)?;
        self.at += 1;
        self.space();
        let mut items = Vec::new();
        if self.byte(end).is_some() {
            return Some(items);
        }
        loop {
            items.push(item(self, depth)?);
            if self.byte(end).is_some() {
                return Some(items);
            }
            self.byte(b',')?;
        }
    }

    fn string(&mut self) -> Option<String> {
        self.byte(b'"')?;
        let mut text = String::new();
        loop {
            let start = self.at;
            while self.peek()? >= b' ' && !matches!(self.peek()?, b'"' | b'\\') {
                self.at += 1;
            }
            text.push_str(&self.text[start..self.at]);
            if self.byte(b'"').is_some() {
                return Some(text);
            }
            self.byte(b'\\')?;
            text.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(match c {
            b'"' | b'\\' | b'/' => c as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return None,
        })
    }

    /// What follows `\u`. Half of a surrogate pair becomes U+FFFD.
    fn unicode(&mut self) -> Option<char> {
        let first = self.unit()?;
        let rest = self.at;
        let second = self.byte(b'\\').and_then(|()| self.byte(b'u')).and_then(|()| self.unit());
        let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
        pair.filter(|c| c.len_utf16() == 2).or_else(|| {
            self.at = rest;
            Some(char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER))
        })
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u16::from_str_radix(digits, 16).ok()
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.at;
        let _ = self.byte(b'-');
        if self.byte(b'0').is_none() {
            self.digits()?;
        }
        if self.byte(b'.').is_some() {
            self.digits()?;
        }
        if self.byte(b'e').or_else(|| self.byte(b'E')).is_some() {
            let _ = self.byte(b'+').or_else(|| self.byte(b'-'));
            self.digits()?;
        }
        Some(Json::Number(self.text[start..self.at].to_string()))
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        self.text[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn members_are_found() {
        let json = Json::parse(br#" { "a" : "x" , "b" : [ 1 , null ] , "a" : "y" , "n" : -7 } "#).unwrap();
        assert_eq!(json.text("a"), Ok("y"));
        assert_eq!(json.number("n"), Ok(-7));
        assert_eq!(json.number::<u8>("n"), Err(r#""n" must not be -7"#.to_string()));
        assert_eq!(json.number::<i64>("a"), Err(r#""a" is not a number"#.to_string()));
        assert_eq!(json.text("b"), Err(r#""b" is not a text"#.to_string()));
        assert_eq!(json.text("c"), Err(r#""c" is not a text"#.to_string()));
        assert_eq!(Json::Null.get("a"), None);
    }

    #[test]
    fn texts_are_read_and_written() {
        for (written, text) in [
            (r#""""#, ""),
            (r#""a\"\\\/\b\f\n\r\t\u00e9ü""#, "a\"\\/\u{8}\u{c}\n\r\téü"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\ud83dx""#, "\u{fffd}x"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
        ] {
            let json = Json::parse(written.as_bytes()).unwrap();
            assert_eq!(json, Json::from(text), "{written}");
            assert_eq!(Json::parse(json.to_string().as_bytes()), Ok(json));
        }
        assert_eq!(Json::from("\"\\\n\u{1f}é").to_string(), r#""\"\\\n\u001fé""#);
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in
            ["null", "true", "false", "0", "-0", "10", "1.5", "1e9", "-1.5E+09", "[]", "{}", r#"{"a":1,"b":{"c":[null,[2],"x"]}}"#]
        {
            assert_eq!(Json::parse(text.as_bytes()).unwrap().to_string(), text);
        }
        assert_eq!(Json::parse(b" \t\r\n{ \"a\" : [ ] , \"b\" : 2 } ").unwrap().to_string(), r#"{"a":[],"b":2}"#);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            " ",
            "nul",
            "nulll",
            "True",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "0x1",
            "NaN",
            "\"",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,]",
            "[1 2]",
            "]",
            "{",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{1:2}",
            "{\"a\" 1}",
            "{} {}",
            "1,",
            "'a'",
            "\u{feff}1",
        ] {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(Json::parse(br#"{"a":01}"#), Err("not JSON at byte 6".to_string()));
        assert!(Json::parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn the_depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(nested(256).as_bytes()).is_ok());
        assert!(Json::parse(nested(257).as_bytes()).is_err());
    }
}
