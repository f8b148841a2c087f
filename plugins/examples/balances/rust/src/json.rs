//! The little JSON that the plugin needs. A plugin of your own would use `serde_json`; this one is held to rules that no
//! library has exactly, so that three languages write the same bytes.

use std::borrow::Cow;

const MAX_DEPTH: usize = 256;

/// A field of an object.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// A string, between its quotes.
    Text(&'a str),
    /// A number as it is written.
    Number(&'a str),
    /// Anything else, or no such field.
    Other,
}

impl Value<'_> {
    /// The string without its escapes.
    pub fn text(self) -> Option<String> {
        match self {
            Value::Text(raw) => Some(unescape(raw).into_owned()),
            _ => None,
        }
    }

    /// The number, if it is written as an integer and has 64 bits.
    pub fn integer(self) -> Option<i64> {
        match self {
            Value::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }
}

/// Returns the fields of `names` of a JSON object, the last of each name. `None` means that `data` is no JSON object.
pub fn fields<'a, const N: usize>(data: &'a [u8], names: [&str; N]) -> Option<[Value<'a>; N]> {
    let mut reader = Reader { text: std::str::from_utf8(data).ok()?, at: 0 };
    let mut values = [Value::Other; N];
    reader.space();
    reader.object(MAX_DEPTH, |key, value| {
        let key = unescape(key);
        if let Some(i) = names.iter().position(|name| *name == key) {
            values[i] = value;
        }
    })?;
    reader.space();
    (reader.at == data.len()).then_some(values)
}

/// Appends a string with its quotes.
pub fn push_text(out: &mut String, text: &str) {
    out.push('"');
    let mut done = 0;
    for (i, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[done..i]);
        done = i + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                out.push_str("\\u00");
                out.push(if byte < 0x10 { '0' } else { '1' });
                out.push(b"0123456789abcdef"[usize::from(byte & 15)].into());
            }
        }
    }
    out.push_str(&text[done..]);
    out.push('"');
}

/// Resolves the escapes of a string that a `Reader` has checked. Half a surrogate pair becomes U+FFFD.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.as_bytes().contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let (mut out, mut rest) = (String::with_capacity(raw.len()), raw);
    while let Some(escape) = rest.find('\\') {
        out.push_str(&rest[..escape]);
        rest = &rest[escape..];
        let (c, len) = match rest.as_bytes()[1] {
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => unicode_escape(rest),
            other => (other.into(), 2), // " \ /
        };
        out.push(c);
        rest = &rest[len..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Resolves the `\uXXXX`, or the pair of them, that `text` begins with, and says how long it was.
fn unicode_escape(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    match (unit(0).unwrap_or(0), unit(6)) {
        (high @ 0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            (char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        (unit, _) => (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
    }
}

/// Reads JSON from its beginning. Every method stands at what it reads and goes behind it; `None` means that it is not there.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn object(&mut self, depth: usize, mut field: impl FnMut(&'a str, Value<'a>)) -> Option<()> {
        self.byte(b'{')?;
        self.items(depth, b'}', |reader, depth| {
            let key = reader.string()?;
            reader.space();
            reader.byte(b':')?;
            reader.space();
            field(key, reader.value(depth)?);
            Some(())
        })
    }

    fn items(&mut self, depth: usize, end: u8, mut item: impl FnMut(&mut Self, usize) -> Option<()>) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.space();
        if self.byte(end).is_some() {
            return Some(());
        }
        loop {
            self.space();
            item(self, depth)?;
            self.space();
            if self.byte(end).is_some() {
                return Some(());
            }
            self.byte(b',')?;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => return self.string().map(Value::Text),
            b'-' | b'0'..=b'9' => return self.number().map(Value::Number),
            b'{' => self.object(depth, |_, _| ())?,
            b'[' => {
                self.byte(b'[')?;
                self.items(depth, b']', |reader, depth| reader.value(depth).map(|_| ()))?;
            }
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            _ => self.word("null")?,
        }
        Some(Value::Other)
    }

    fn string(&mut self) -> Option<&'a str> {
        self.byte(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.escape()?,
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(&self.text[start..self.at - 1])
    }

    fn escape(&mut self) -> Option<()> {
        let len = match self.text.as_bytes().get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' if self.text.as_bytes().get(self.at + 2..self.at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
            _ => return None,
        };
        self.at += len;
        Some(())
    }

    fn number(&mut self) -> Option<&'a str> {
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
        Some(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
