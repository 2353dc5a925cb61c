//! One key: its type, default, permitted values and documentation.

use super::error::{Refusal, nearest};
use crate::limits;

/// A value's type, with DescribeConfigs' code for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 16 bits.
    Short = 4,
    /// 64 bits.
    Long = 5,
    /// A floating point number.
    Double = 6,
    /// Texts separated by commas.
    List = 7,
    /// The name of a Java class.
    Class = 8,
    /// A secret.
    Password = 9,
}

/// Which values of its type a key takes.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// All of them.
    Any,
    /// Numbers from this one on.
    AtLeast(i64),
    /// Numbers between these two, both included.
    Between(i64, i64),
    /// Numbers between the first two, both included, and the third.
    BetweenOr(i64, i64, i64),
    /// Fractions between 0 and 1, both included.
    Fraction,
    /// One of these texts; for a list: each of its elements.
    OneOf(&'static [&'static str]),
    /// Only this: other values would ask for something that Highwater does not do.
    Only(&'static str),
    /// Whatever this function does not refuse with a reason.
    With(fn(&str) -> Result<(), String>),
}

/// When a key may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Only at the next start.
    ReadOnly,
    /// While the broker runs, by AlterConfigs.
    Dynamic,
}

/// A broker's key that gives a key of a topic or group its default.
#[derive(Clone, Copy, Debug)]
pub struct Synonym {
    /// The broker's key.
    pub key: &'static str,
    /// How much larger its unit is: a value in hours stands for 3,600,000 times as many milliseconds.
    pub scale: i64,
}

impl Synonym {
    pub(super) const fn same(key: &'static str) -> Self {
        Self::scaled(key, 1)
    }

    pub(super) const fn scaled(key: &'static str, scale: i64) -> Self {
        Self { key, scale }
    }
}

/// A key that can be configured.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The value that counts where nothing is set; `None` is Kafka's null.
    pub default: Option<&'static str>,
    /// Which values are valid.
    pub check: Check,
    /// When it may change.
    pub update: Update,
    /// Whether DescribeConfigs leaves it out: for tests and experts, as in Kafka.
    pub internal: bool,
    /// Whether Highwater acts on it; if not, the value is only kept.
    pub acted_on: bool,
    /// The defaults of a topic's or group's key on the broker, the one that counts most first.
    pub synonyms: &'static [Synonym],
    /// What it is for.
    doc: &'static str,
}

/// A valid value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of [`Kind::Boolean`].
    Boolean(bool),
    /// Of [`Kind::Int`], [`Kind::Short`] and [`Kind::Long`].
    Integer(i64),
    /// Of [`Kind::Double`].
    Double(f64),
    /// Of [`Kind::String`], [`Kind::Class`] and [`Kind::Password`].
    Text(String),
    /// Of [`Kind::List`].
    List(Vec<String>),
}

impl Key {
    /// A topic's or group's key, or with [`Key::read_only`] and friends any other.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        check: Check,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default,
            check,
            update: Update::Dynamic,
            internal: false,
            acted_on: true,
            synonyms: &[],
            doc,
        }
    }

    /// The same key, changeable only at a start.
    pub const fn read_only(self) -> Self {
        Self { update: Update::ReadOnly, ..self }
    }

    /// The same key, left out by DescribeConfigs.
    pub const fn internal(self) -> Self {
        Self { internal: true, ..self }
    }

    /// The same key, kept but without effect.
    pub const fn only_kept(self) -> Self {
        Self { acted_on: false, ..self }
    }

    /// The same key, with its defaults on the broker.
    pub const fn from(self, synonyms: &'static [Synonym]) -> Self {
        Self { synonyms, ..self }
    }

    /// Whether its value must not be shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// What the key is for, and whether Highwater acts on it.
    pub fn documentation(&self) -> String {
        if self.acted_on {
            self.doc.to_owned()
        } else {
            format!("{} Highwater keeps the value but does not act on it.", self.doc)
        }
    }

    /// Reads a value, or says what is wrong with it.
    ///
    /// # Errors
    /// The reason, as the end of a sentence that starts with the value.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        if text.len() > limits::CONFIG_VALUE_BYTES_MAX {
            return Err(format!("must not have more than {} bytes", limits::CONFIG_VALUE_BYTES_MAX));
        }
        let value = self.parse_kind(text.trim())?;
        self.check(&value, text.trim())?;
        Ok(value)
    }

    fn parse_kind(&self, text: &str) -> Result<Value, String> {
        match self.kind {
            Kind::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
            Kind::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
            Kind::Boolean => Err("must be true or false".into()),
            Kind::Short => integer(text, i16::MIN.into(), i16::MAX.into()),
            Kind::Int => integer(text, i32::MIN.into(), i32::MAX.into()),
            Kind::Long => integer(text, i64::MIN, i64::MAX),
            Kind::Double => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Value::Double(number)),
                _ => Err("must be a number".into()),
            },
            Kind::List => list(text),
            Kind::String | Kind::Class | Kind::Password => Ok(Value::Text(text.to_owned())),
        }
    }

    fn check(&self, value: &Value, text: &str) -> Result<(), String> {
        match (self.check, value) {
            (Check::Any, _) => Ok(()),
            (Check::AtLeast(min), Value::Integer(number)) if *number < min => Err(format!("must be at least {min}")),
            (Check::Between(min, max), Value::Integer(number)) if !(min..=max).contains(number) => {
                Err(format!("must be between {min} and {max}"))
            }
            (Check::BetweenOr(min, max, other), Value::Integer(number))
                if !(min..=max).contains(number) && *number != other =>
            {
                Err(format!("must be between {min} and {max}, or {other}"))
            }
            (Check::Fraction, Value::Double(number)) if !(0.0..=1.0).contains(number) => {
                Err("must be between 0 and 1".into())
            }
            (Check::OneOf(texts), Value::Text(text)) => one_of(texts, text),
            (Check::OneOf(texts), Value::List(elements)) => elements.iter().try_for_each(|text| one_of(texts, text)),
            (Check::Only(only), _) if !text.eq_ignore_ascii_case(only) => {
                Err(format!("is not supported: Highwater only has {only:?}"))
            }
            (Check::With(check), _) => check(text),
            (
                Check::AtLeast(_)
                | Check::Between(..)
                | Check::BetweenOr(..)
                | Check::Fraction
                | Check::OneOf(_)
                | Check::Only(_),
                _,
            ) => Ok(()),
        }
    }
}

/// The key of a sorted table with this name.
pub(super) fn find(keys: &'static [Key], name: &str) -> Option<&'static Key> {
    let at = keys.binary_search_by(|key| key.name.cmp(name)).ok()?;
    Some(&keys[at])
}

/// Reads a value of the key of a sorted table with this name.
///
/// # Errors
/// If there is no such key or it does not take the value.
pub(super) fn parse_in(keys: &'static [Key], name: &str, value: &str) -> Result<Value, Refusal> {
    let Some(key) = find(keys, name) else {
        let nearest = nearest(name, keys.iter().map(|key| key.name)).map(str::to_owned);
        return Err(Refusal::UnknownKey { key: name.to_owned(), nearest });
    };
    key.parse(value).map_err(|reason| Refusal::InvalidValue { key: name.to_owned(), value: value.to_owned(), reason })
}

fn integer(text: &str, min: i64, max: i64) -> Result<Value, String> {
    match text.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
        Ok(_) => Err(format!("must be between {min} and {max}")),
        Err(_) => Err("must be a whole number".into()),
    }
}

fn list(text: &str) -> Result<Value, String> {
    if text.is_empty() {
        return Ok(Value::List(Vec::new()));
    }
    let mut elements: Vec<String> = Vec::new();
    for element in text.split(',').map(str::trim) {
        if element.is_empty() {
            return Err("must not have an empty element".into());
        }
        if elements.iter().all(|other| other != element) {
            elements.push(element.to_owned());
        }
    }
    Ok(Value::List(elements))
}

fn one_of(texts: &[&str], text: &str) -> Result<(), String> {
    if texts.contains(&text) { Ok(()) } else { Err(format!("must be one of {}", texts.join(", "))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, check: Check, text: &str, expected: Result<Value, &str>) {
        let key = Key::new("key", kind, None, check, "A key.");
        assert_eq!(key.parse(text), expected.map_err(str::to_owned), "{text:?}");
    }

    #[test]
    fn every_kind_reads_its_values_and_refuses_others() {
        check(Kind::Boolean, Check::Any, " TRUE ", Ok(Value::Boolean(true)));
        check(Kind::Boolean, Check::Any, "yes", Err("must be true or false"));
        check(Kind::Short, Check::Any, "32768", Err("must be between -32768 and 32767"));
        check(Kind::Int, Check::Any, "2147483648", Err("must be between -2147483648 and 2147483647"));
        check(Kind::Long, Check::Any, "9223372036854775807", Ok(Value::Integer(i64::MAX)));
        check(Kind::Long, Check::Any, "9223372036854775808", Err("must be a whole number"));
        check(Kind::Double, Check::Any, "NaN", Err("must be a number"));
        check(Kind::List, Check::Any, "", Ok(Value::List(vec![])));
        check(Kind::List, Check::Any, "a, b", Ok(Value::List(vec!["a".into(), "b".into()])));
        check(Kind::List, Check::Any, "a,,b", Err("must not have an empty element"));
        check(Kind::List, Check::Any, "a,b,a", Ok(Value::List(vec!["a".into(), "b".into()])));
        check(Kind::String, Check::Any, " x ", Ok(Value::Text("x".into())));
    }

    #[test]
    fn a_value_that_no_response_could_carry_is_refused() {
        check(Kind::String, Check::Any, &"x".repeat(32768), Err("must not have more than 32767 bytes"));
        check(Kind::String, Check::Any, &"x".repeat(32767), Ok(Value::Text("x".repeat(32767))));
    }

    #[test]
    fn every_check_refuses_what_lies_outside() {
        check(Kind::Int, Check::AtLeast(1), "0", Err("must be at least 1"));
        check(Kind::Int, Check::Between(1, 17), "18", Err("must be between 1 and 17"));
        check(Kind::Int, Check::BetweenOr(1, 9, -1), "-1", Ok(Value::Integer(-1)));
        check(Kind::Int, Check::BetweenOr(1, 9, -1), "0", Err("must be between 1 and 9, or -1"));
        check(Kind::Double, Check::Fraction, "1.1", Err("must be between 0 and 1"));
        check(Kind::String, Check::OneOf(&["a", "b"]), "c", Err("must be one of a, b"));
        check(Kind::List, Check::OneOf(&["a", "b"]), "a,c", Err("must be one of a, b"));
        check(Kind::Boolean, Check::Only("false"), "true", Err("is not supported: Highwater only has \"false\""));
    }
}
