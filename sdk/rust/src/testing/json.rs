//! Whether a text is JSON, as the real host asks of every document.

/// Reports whether `text` is one JSON value, nested at most `max_depth` deep.
pub fn valid(text: &str, max_depth: usize) -> bool {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    reader.value(max_depth) && {
        reader.space();
        reader.at == reader.bytes.len()
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> bool {
        self.space();
        match self.peek() {
            Some(b'{') => depth > 0 && self.list(b'}', |reader| reader.string() && reader.byte(b':') && reader.value(depth - 1)),
            Some(b'[') => depth > 0 && self.list(b']', |reader| reader.value(depth - 1)),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => ["true", "false", "null"].iter().any(|word| self.word(word)),
        }
    }

    fn list(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> bool) -> bool {
        self.at += 1;
        if self.byte(end) {
            return true;
        }
        while item(self) {
            if self.byte(end) {
                return true;
            }
            if !self.byte(b',') {
                return false;
            }
        }
        false
    }

    fn string(&mut self) -> bool {
        if !self.byte(b'"') {
            return false;
        }
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return true,
                b'\\' if !self.escape() => return false,
                0..=0x1f => return false,
                _ => {}
            }
        }
        false
    }

    fn escape(&mut self) -> bool {
        let escape = self.peek();
        self.at += 1;
        match escape {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
            Some(b'u') => {
                let digits = self.bytes.get(self.at..self.at + 4).unwrap_or_default();
                self.at += digits.len();
                digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit)
            }
            _ => false,
        }
    }

    fn number(&mut self) -> bool {
        self.accept(b"-");
        if !self.accept(b"0") && !self.digits() {
            return false;
        }
        if self.accept(b".") && !self.digits() {
            return false;
        }
        if self.accept(b"eE") {
            self.accept(b"+-");
            return self.digits();
        }
        true
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while self.accept(b"0123456789") {}
        self.at > start
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.bytes[self.at..].starts_with(word.as_bytes());
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn byte(&mut self, byte: u8) -> bool {
        self.space();
        self.accept(&[byte])
    }

    fn accept(&mut self, any: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| any.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while self.accept(b" \t\r\n") {}
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::valid;

    #[test]
    fn accepts_json() {
        for text in [
            "null",
            " true ",
            "false",
            "0",
            "-0",
            "10",
            "1.5",
            "1e9",
            "-1.5E+09",
            r#""""#,
            r#""a\"\\\/\b\f\n\r\t\u00e9ü""#,
            "[]",
            "[ ]",
            "{}",
            "{ }",
            "[1,[2],{}]",
            r#"{"a":1,"b":{"c":[null]}}"#,
            " \t\r\n{ \"a\" : 1 , \"b\" : 2 } ",
        ] {
            assert!(valid(text, 256), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
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
            assert!(!valid(text, 256), "{text:?}");
        }
    }

    #[test]
    fn bounds_the_depth() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(valid(&nested(256), 256));
        assert!(!valid(&nested(257), 256));
    }
}
