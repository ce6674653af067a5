//! A line's words. What stands in quotes or angle brackets is one word, brackets and quotes included.

/// The words of one line, taken from the front.
#[derive(Debug)]
pub(super) struct Words<'a> {
    rest: std::vec::IntoIter<&'a str>,
}

impl<'a> Words<'a> {
    pub(super) fn new(mut text: &'a str) -> Result<Self, String> {
        let mut words = Vec::new();
        loop {
            text = text.trim_start();
            let Some(first) = text.chars().next() else { break };
            // `<` and `>` alone, or with a flow's number, are directions.
            let bracketed = first == '<' && text[1..].starts_with(|next: char| next.is_alphabetic() || next == '>');
            let end = match first {
                '"' => text[1..].find('"').ok_or("a string without an end")? + 2,
                '<' if bracketed => text.find('>').ok_or("< without >")? + 1,
                _ => text.find(char::is_whitespace).unwrap_or(text.len()),
            };
            words.push(&text[..end]);
            text = &text[end..];
        }
        Ok(Self {
            rest: words.into_iter(),
        })
    }

    pub(super) fn peek(&self) -> Option<&'a str> {
        self.rest.as_slice().first().copied()
    }

    pub(super) fn next(&mut self) -> Option<&'a str> {
        self.rest.next()
    }

    /// The next word, which must be there.
    pub(super) fn need(&mut self, what: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("{what} is missing"))
    }

    pub(super) fn number<N: std::str::FromStr>(&mut self, what: &str) -> Result<N, String> {
        let word = self.need(what)?;
        word.parse().map_err(|_| format!("{word} is not {what}"))
    }

    pub(super) fn expect(&mut self, word: &str) -> Result<(), String> {
        let found = self.need(word)?;
        if found == word {
            Ok(())
        } else {
            Err(format!("{found} where {word} should be"))
        }
    }

    pub(super) fn end(&mut self) -> Result<(), String> {
        self.next()
            .map_or(Ok(()), |word| Err(format!("what is {word} for, at the end?")))
    }
}

/// The octets of a string in quotes.
pub(super) fn literal(word: &str) -> Option<Vec<u8>> {
    let inner = word.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.as_bytes().to_vec())
}
