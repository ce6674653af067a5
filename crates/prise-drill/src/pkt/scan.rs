//! A place in a script's text.

/// Reads from a text, passing over blanks and comments.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn line(&self) -> usize {
        1 + self.text[..self.at].matches('\n').count()
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Passes over blanks and comments of all three kinds.
    pub(super) fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            let comment = if trimmed.starts_with("//") || trimmed.starts_with('#') {
                trimmed.find('\n').unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                trimmed.find("*/").map_or(trimmed.len(), |end| end + 2)
            } else {
                return;
            };
            self.at += comment;
        }
    }

    pub(super) fn at_end(&mut self) -> bool {
        self.skip();
        self.rest().is_empty()
    }

    pub(super) fn peek(&mut self) -> Option<char> {
        self.skip();
        self.rest().chars().next()
    }

    pub(super) fn sees(&mut self, what: &str) -> bool {
        self.skip();
        self.rest().starts_with(what)
    }

    /// Passes `what` if it comes next.
    pub(super) fn eat(&mut self, what: &str) -> bool {
        let found = self.sees(what);
        if found {
            self.at += what.len();
        }
        found
    }

    pub(super) fn expect(&mut self, what: &str) -> Result<(), String> {
        if self.eat(what) {
            Ok(())
        } else {
            Err(format!("expected '{what}' before '{}'", self.glimpse()))
        }
    }

    /// The next few characters, for messages.
    pub(super) fn glimpse(&self) -> String {
        self.rest().chars().take(24).take_while(|c| *c != '\n').collect()
    }

    /// The longest run of characters that `belongs`, maybe empty.
    pub(super) fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        self.skip();
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A name: letters, digits and underscores.
    pub(super) fn word(&mut self) -> &'a str {
        self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// Everything up to `end`, which is passed too.
    pub(super) fn until(&mut self, end: &str) -> Result<&'a str, String> {
        let rest = self.rest();
        let at = rest.find(end).ok_or_else(|| format!("'{end}' is missing"))?;
        self.at += at + end.len();
        Ok(&rest[..at])
    }

    /// A whole number, decimal or hexadecimal, with a sign.
    pub(super) fn number(&mut self) -> Result<i64, String> {
        let negative = self.eat("-");
        let digits = self.take_while(|c| c.is_ascii_alphanumeric());
        let value = match digits.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        let value = value.map_err(|_| format!("expected a number before '{digits}{}'", self.glimpse()))?;
        Ok(if negative { -value } else { value })
    }
}
