//! As much of JSON as a jump table has: objects, lists, strings and natural numbers.

#[derive(Debug, PartialEq)]
pub enum Json {
    Object(Vec<(String, Json)>),
    List(Vec<Json>),
    Text(String),
    Number(usize),
    Null,
}

impl Json {
    /// What a whole text says.
    pub fn parse(text: &str) -> Option<Json> {
        let mut reader = Reader { rest: text };
        let value = reader.value()?;
        reader.rest.trim().is_empty().then_some(value)
    }

    pub fn get(&self, key: &str) -> Option<&Json> {
        self.entries()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn entries(&self) -> Option<&[(String, Json)]> {
        if let Json::Object(entries) = self {
            Some(entries)
        } else {
            None
        }
    }

    pub fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    pub fn number(&self) -> Option<usize> {
        if let Json::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self) -> Option<Json> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            '{' => self
                .many('}', |reader| {
                    let name = reader.text()?;
                    reader.skip(':').then_some(())?;
                    Some((name, reader.value()?))
                })
                .map(Json::Object),
            '[' => self.many(']', Self::value).map(Json::List),
            '"' => self.text().map(Json::Text),
            'n' => {
                self.rest = self.rest.strip_prefix("null")?;
                Some(Json::Null)
            }
            _ => {
                let length = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
                let (digits, rest) = self.rest.split_at(length);
                self.rest = rest;
                digits.parse().ok().map(Json::Number)
            }
        }
    }

    /// Items between commas, up to the bracket that closes.
    fn many<T>(&mut self, closing: char, item: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        self.rest = &self.rest[1..];
        while !self.skip(closing) {
            if !items.is_empty() && !self.skip(',') {
                return None;
            }
            items.push(item(self)?);
        }
        Some(items)
    }

    fn skip(&mut self, wanted: char) -> bool {
        let found = self.rest.trim_start().strip_prefix(wanted);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn text(&mut self) -> Option<String> {
        self.skip('"').then_some(())?;
        let mut units = Vec::new(); // UTF-16: JSON escapes what lies beyond it in two halves
        loop {
            let mut letters = self.rest.chars();
            let letter = letters.next()?;
            self.rest = letters.as_str();
            match letter {
                '"' => return String::from_utf16(&units).ok(),
                '\\' => units.push(self.escaped()?),
                _ => units.extend(letter.encode_utf16(&mut [0; 2]).iter()),
            }
        }
    }

    fn escaped(&mut self) -> Option<u16> {
        let mut letters = self.rest.chars();
        let letter = letters.next()?;
        self.rest = letters.as_str();
        Some(match letter {
            'u' => {
                let unit = u16::from_str_radix(self.rest.get(..4)?, 16).ok()?;
                self.rest = &self.rest[4..];
                unit
            }
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            other => other as u16,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table() {
        let table =
            Json::parse(r#"{"lib": "/t\u00e9\ud83d\ude00\"\n", "map": {"12": 34}, "list": [[1, 2], [], null]}"#)
                .unwrap();
        assert_eq!(table.get("lib").unwrap().text(), Some("/t\u{e9}\u{1f600}\"\n"));
        assert_eq!(table.get("map").unwrap().entries().unwrap(), [("12".to_string(), Json::Number(34))]);
        assert_eq!(
            table.get("list"),
            Some(&Json::List(vec![Json::List(vec![Json::Number(1), Json::Number(2)]), Json::List(vec![]), Json::Null]))
        );
    }

    #[test]
    fn what_is_none() {
        for text in
            ["", "{", "[1", "[1 2]", r#"{"a" 1}"#, r#""a"#, "1 2", "x", r#"{"a": }"#, "-1", "99999999999999999999"]
        {
            assert_eq!(Json::parse(text), None, "{text}");
        }
    }
}
