//! Attributes as values.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::{Attribute, Data, DeriveInput, Error, Expr, Field, Fields, Ident, LitInt, Result, Token, Type};

/// A struct that derives `Message`.
pub struct Message {
    pub part: Part,
    pub versions: Versions,
    pub flexible_from: i16,
}

/// A struct that derives `Part`, or the struct of a message.
pub struct Part {
    pub name: Ident,
    pub fields: Vec<PartField>,
}

/// One field of a struct.
pub struct PartField {
    pub name: Ident,
    pub ty: Type,
    pub versions: Versions,
    pub nullable: Option<Versions>,
    pub tag: Option<u32>,
    pub default: Option<Expr>,
    pub ignorable: bool,
    pub text: bool,
    pub own: bool,
}

/// A range of versions, both ends inclusive, either of them open.
#[derive(Clone, Copy, Default)]
pub struct Versions {
    pub first: Option<i16>,
    pub last: Option<i16>,
}

pub fn message(input: &DeriveInput) -> Result<Message> {
    let mut versions = Versions::default();
    let mut flexible_from = i16::MAX;
    for_each_key(&input.attrs, "message", |meta| {
        if meta.path.is_ident("versions") {
            versions = meta.value()?.call(Versions::parse)?;
        } else if meta.path.is_ident("flexible") {
            flexible_from = meta.value()?.call(Versions::parse)?.first.unwrap_or(0);
        } else {
            return Err(meta.error("a message has `versions` and `flexible`"));
        }
        Ok(())
    })?;
    if versions.first.is_none() || versions.last.is_none() {
        return Err(Error::new_spanned(&input.ident, "a message says `#[message(versions = A..=B)]`"));
    }
    Ok(Message { part: part(input)?, versions, flexible_from })
}

pub fn part(input: &DeriveInput) -> Result<Part> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "only a struct can be a message or a part of one"));
    };
    let Fields::Named(named) = &data.fields else {
        return Err(Error::new_spanned(&input.ident, "the fields of a message have names"));
    };
    let mut fields = named.named.iter().map(field).collect::<Result<Vec<_>>>()?;
    check(&fields)?;
    // Untagged fields keep the order of the source, tagged ones come last and by ascending tag.
    fields.sort_by_key(|field| field.tag.map_or(-1, i64::from));
    Ok(Part { name: input.ident.clone(), fields })
}

fn field(field: &Field) -> Result<PartField> {
    let name =
        field.ident.clone().ok_or_else(|| Error::new(Span::call_site(), "the fields of a message have names"))?;
    let mut parsed = PartField {
        name,
        ty: field.ty.clone(),
        versions: Versions::default(),
        nullable: None,
        tag: None,
        default: None,
        ignorable: false,
        text: false,
        own: false,
    };
    for_each_key(&field.attrs, "field", |meta| parsed.set(&meta))?;
    Ok(parsed)
}

impl PartField {
    fn set(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("versions") {
            self.versions = meta.value()?.call(Versions::parse)?;
        } else if meta.path.is_ident("nullable") {
            self.nullable = Some(meta.value()?.call(Versions::parse)?);
        } else if meta.path.is_ident("tag") {
            self.tag = Some(meta.value()?.parse::<LitInt>()?.base10_parse()?);
        } else if meta.path.is_ident("default") {
            self.default = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("ignorable") {
            self.ignorable = true;
        } else if meta.path.is_ident("text") {
            self.text = true;
        } else if meta.path.is_ident("own") {
            self.own = true;
        } else {
            return Err(
                meta.error("a field has `versions`, `nullable`, `tag`, `default`, `ignorable`, `text` and `own`")
            );
        }
        Ok(())
    }
}

impl Versions {
    /// `A..=B`, `A..`, `..=B`.
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let first = if input.peek(LitInt) { Some(input.parse::<LitInt>()?.base10_parse()?) } else { None };
        if input.peek(Token![..=]) {
            input.parse::<Token![..=]>()?;
            return Ok(Self { first, last: Some(input.parse::<LitInt>()?.base10_parse()?) });
        }
        input.parse::<Token![..]>()?;
        Ok(Self { first, last: None })
    }
}

fn for_each_key(
    attributes: &[Attribute],
    name: &str,
    mut take: impl FnMut(ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident(name))
        .try_for_each(|attribute| attribute.parse_nested_meta(&mut take))
}

fn check(fields: &[PartField]) -> Result<()> {
    for (index, field) in fields.iter().enumerate() {
        let refuse = |reason| Err(Error::new_spanned(&field.name, reason));
        if field.tag.is_some() && fields[..index].iter().any(|earlier| earlier.tag == field.tag) {
            return refuse("another field has the same tag");
        }
        if field.tag.is_some() && field.nullable.is_some() {
            return refuse("a tagged field is nullable in all of its versions or in none");
        }
        if field.text && (field.tag.is_some() || field.nullable.is_some()) {
            return refuse("a text is neither tagged nor nullable in some versions only");
        }
        if field.own && (field.tag.is_none() || !field.ignorable) {
            return refuse("a field of our own is tagged and ignorable: others do not know it");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use quote::quote;
    use syn::parse2;

    use super::*;

    fn check(input: proc_macro2::TokenStream, expected: &str) {
        let input = parse2(input).expect("it is Rust");
        let Err(error) = message(&input) else { panic!("accepted, instead of: {expected}") };
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_struct_that_cannot_be_a_message_is_refused_with_the_reason() {
        check(quote! { struct M {} }, "a message says `#[message(versions = A..=B)]`");
        check(quote! { #[message(versions = 1..)] struct M {} }, "a message says `#[message(versions = A..=B)]`");
        check(quote! { #[message(version = 1..=2)] struct M {} }, "a message has `versions` and `flexible`");
        check(quote! { #[message(versions = 1..=2)] enum M {} }, "only a struct can be a message or a part of one");
        check(quote! { #[message(versions = 1..=2)] struct M(i8); }, "the fields of a message have names");
    }

    #[test]
    fn a_field_that_contradicts_itself_is_refused_with_the_reason() {
        let check_field = |fields: proc_macro2::TokenStream, expected: &str| {
            check(quote! { #[message(versions = 1..=2)] struct M { #fields } }, expected);
        };
        check_field(quote! { #[field(tag = 1)] a: i8, #[field(tag = 1)] b: i8 }, "another field has the same tag");
        check_field(
            quote! { #[field(tag = 1, nullable = 2..)] a: Option<i8> },
            "a tagged field is nullable in all of its versions or in none",
        );
        check_field(
            quote! { #[field(text, nullable = 2..)] a: Option<String> },
            "a text is neither tagged nor nullable in some versions only",
        );
        check_field(
            quote! { #[field(optional)] a: i8 },
            "a field has `versions`, `nullable`, `tag`, `default`, `ignorable`, `text` and `own`",
        );
        check_field(
            quote! { #[field(tag = 1, own)] a: i8 },
            "a field of our own is tagged and ignorable: others do not know it",
        );
        check_field(quote! { #[field(versions = 1..2)] a: i8 }, "expected `,`");
    }
}
