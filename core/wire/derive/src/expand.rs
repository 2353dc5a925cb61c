//! From parsed attributes to implementations.
//!
//! The code that comes out is a list of calls to `Encoder` and `Decoder`, with a comparison of versions in front where
//! a field does not exist in all of them.

use proc_macro2::TokenStream;
use quote::quote;

use crate::parse::{Message, Part, PartField, Versions};

pub fn message(message: &Message) -> TokenStream {
    let part = part(&message.part);
    let name = &message.part.name;
    let text = name.to_string();
    let Versions { first, last } = message.versions;
    let flexible_from = message.flexible_from;
    quote! {
        #part

        #[automatically_derived]
        impl ::highwater_wire::Message for #name {
            const NAME: &'static str = #text;
            const VERSIONS: ::std::ops::RangeInclusive<i16> = #first..=#last;
            const FLEXIBLE_FROM: i16 = #flexible_from;
        }
    }
}

pub fn part(part: &Part) -> TokenStream {
    let name = &part.name;
    let encode = encode(part);
    let decode = decode(part);
    let len_min = len_min(part);
    let sample = sample(part);
    let to_tree = to_tree(part);
    let field_names = part.fields.iter().map(|field| &field.name);
    let defaults = part.fields.iter().map(default);
    quote! {
        #[automatically_derived]
        impl ::std::default::Default for #name {
            fn default() -> Self {
                Self { #(#field_names: #defaults,)* }
            }
        }

        #[automatically_derived]
        impl ::highwater_wire::field::Field for #name {
            fn encode(
                &self,
                out: &mut ::highwater_wire::Encoder,
            ) -> ::std::result::Result<(), ::highwater_wire::EncodeError> {
                #encode
            }

            fn decode(
                input: &mut ::highwater_wire::Decoder<'_>,
            ) -> ::std::result::Result<Self, ::highwater_wire::DecodeError> {
                #decode
            }

            fn len_min(version: i16, flexible: bool) -> usize {
                #len_min
            }
        }

        #[automatically_derived]
        impl ::highwater_wire::field::Nullable for #name {
            fn encode_nullable(
                value: ::std::option::Option<&Self>,
                out: &mut ::highwater_wire::Encoder,
            ) -> ::std::result::Result<(), ::highwater_wire::EncodeError> {
                ::highwater_wire::field::encode_nullable_struct(value, out)
            }

            fn decode_nullable(
                input: &mut ::highwater_wire::Decoder<'_>,
            ) -> ::std::result::Result<::std::option::Option<Self>, ::highwater_wire::DecodeError> {
                ::highwater_wire::field::decode_nullable_struct(input)
            }

            fn encode_tagged(
                value: ::std::option::Option<&Self>,
                out: &mut ::highwater_wire::Encoder,
            ) -> ::std::result::Result<(), ::highwater_wire::EncodeError> {
                ::highwater_wire::field::encode_tagged_struct(value, out)
            }

            fn decode_tagged(
                input: &mut ::highwater_wire::Decoder<'_>,
            ) -> ::std::result::Result<::std::option::Option<Self>, ::highwater_wire::DecodeError> {
                ::highwater_wire::field::decode_tagged_struct(input)
            }
        }

        #sample
        #to_tree
    }
}

fn encode(part: &Part) -> TokenStream {
    let ordered = part.fields.iter().map(|field| encode_or_refuse(part, field));
    let tagged: Vec<_> = part.fields.iter().filter(|field| field.tag.is_some()).collect();
    let present = tagged.iter().map(|field| {
        let name = &field.name;
        let default = default(field);
        let exists = exists(field.versions);
        quote! { (#exists) && self.#name != #default }
    });
    let write_tagged = tagged.iter().enumerate().map(|(index, field)| {
        let (name, tag, label) = (&field.name, field.tag, label(part, field));
        let write = if is_option(&field.ty) { quote!(tagged_nullable_field) } else { quote!(tagged_field) };
        quote! { if present[#index] { out.#write(#tag, #label, &self.#name)?; } }
    });
    let tagged_fields = if tagged.is_empty() {
        quote! { out.begin_tagged_fields(0); }
    } else {
        quote! {
            if out.is_flexible() {
                let present = [#(#present),*];
                out.begin_tagged_fields(present.iter().map(|&present| u32::from(present)).sum());
                #(#write_tagged)*
            }
        }
    };
    quote! {
        let version = out.version();
        let _ = version;
        #(#ordered)*
        #tagged_fields
        ::std::result::Result::Ok(())
    }
}

/// Writes an untagged field where the version has it; refuses one that the version lacks and that must not be lost.
fn encode_or_refuse(part: &Part, field: &PartField) -> TokenStream {
    let (name, label) = (&field.name, label(part, field));
    let write = match (field.tag, field.nullable) {
        (Some(_), _) => quote! {},
        (None, None) if field.text => quote! { out.text_field(&self.#name); },
        (None, None) => quote! { out.field(#label, &self.#name)?; },
        (None, Some(nullable)) => {
            let nullable = exists(nullable);
            quote! { out.nullable_field(#label, &self.#name, #nullable)?; }
        }
    };
    if field.versions.is_all() {
        return write;
    }
    let exists = exists(field.versions);
    if field.ignorable {
        return quote! { if #exists { #write } };
    }
    let default = default(field);
    quote! {
        if #exists { #write } else { out.absent_field(#label, self.#name == #default)?; }
    }
}

fn decode(part: &Part) -> TokenStream {
    let names: Vec<_> = part.fields.iter().map(|field| &field.name).collect();
    let ordered = part.fields.iter().map(|field| decode_field(part, field));
    let tagged: Vec<_> = part.fields.iter().filter(|field| field.tag.is_some()).collect();
    let arms = tagged.iter().map(|field| {
        let (name, tag, label, exists) = (&field.name, field.tag, label(part, field), exists(field.versions));
        let read = if is_option(&field.ty) { quote!(tagged_nullable_field) } else { quote!(field) };
        quote! { #tag if #exists => #name = input.#read(#label)?, }
    });
    let tagged_fields = if tagged.is_empty() {
        quote! { input.tagged_fields(|_, _| ::std::result::Result::Ok(false))?; }
    } else {
        quote! {
            input.tagged_fields(|tag, input| {
                match tag {
                    #(#arms)*
                    _ => return ::std::result::Result::Ok(false),
                }
                ::std::result::Result::Ok(true)
            })?;
        }
    };
    quote! {
        let version = input.version();
        let _ = version;
        #(#ordered)*
        #tagged_fields
        ::std::result::Result::Ok(Self { #(#names),* })
    }
}

fn decode_field(part: &Part, field: &PartField) -> TokenStream {
    let (name, ty, label, default) = (&field.name, &field.ty, label(part, field), default(field));
    if field.tag.is_some() {
        return quote! { let mut #name: #ty = #default; };
    }
    let read = match field.nullable {
        None => quote! { input.field::<#ty>(#label)? },
        Some(nullable) => {
            let nullable = exists(nullable);
            quote! { input.nullable_field(#label, #nullable)? }
        }
    };
    if field.versions.is_all() {
        return quote! { let #name: #ty = #read; };
    }
    let exists = exists(field.versions);
    quote! { let #name: #ty = if #exists { #read } else { #default }; }
}

fn len_min(part: &Part) -> TokenStream {
    let lens = part.fields.iter().filter(|field| field.tag.is_none()).map(|field| {
        let ty = &field.ty;
        let len = quote! { <#ty as ::highwater_wire::Field>::len_min(version, flexible) };
        let exists = exists(field.versions);
        if field.versions.is_all() {
            len
        } else {
            quote! { if #exists { #len } else { 0 } }
        }
    });
    quote! {
        let _ = version;
        usize::from(flexible) #(+ (#lens))*
    }
}

/// A random value that the version can represent, without fields of our own; nothing unless the crate is built for tests.
fn sample(part: &Part) -> TokenStream {
    let name = &part.name;
    let fields = part.fields.iter().map(|field| {
        let (name, default, in_version) = (&field.name, default(field), exists(field.versions));
        if field.own {
            return quote! { #name: #default };
        }
        let draw = match field.nullable {
            None => quote! { source.value_or(#default) },
            Some(nullable) => {
                let nullable = exists(nullable);
                quote! { source.nullable(#nullable) }
            }
        };
        if field.versions.is_all() {
            quote! { #name: #draw }
        } else {
            quote! { #name: if #in_version { #draw } else { #default } }
        }
    });
    quote! {
        ::highwater_wire::when_testing! {
            #[automatically_derived]
            impl ::highwater_wire::testing::Sample for #name {
                fn sample(source: &mut ::highwater_wire::testing::Source) -> Self {
                    let version = source.version();
                    let _ = version;
                    Self { #(#fields),* }
                }
            }
        }
    }
}

/// The value as a tree, without fields of our own; nothing unless the crate is built for tests.
fn to_tree(part: &Part) -> TokenStream {
    let name = &part.name;
    let fields = part.fields.iter().filter(|field| !field.own).map(|field| {
        let (name, label) = (&field.name, field.name.to_string());
        quote! { (#label, ::highwater_wire::testing::ToTree::to_tree(&self.#name)) }
    });
    quote! {
        ::highwater_wire::when_testing! {
            #[automatically_derived]
            impl ::highwater_wire::testing::ToTree for #name {
                fn to_tree(&self) -> ::highwater_wire::testing::Tree {
                    ::highwater_wire::testing::Tree::Part(::std::vec![#(#fields),*])
                }
            }
        }
    }
}

/// The condition that `version` lies in a range, without comparisons that an open end makes needless.
fn exists(versions: Versions) -> TokenStream {
    match (versions.first.filter(|&first| first > 0), versions.last) {
        (None, None) => quote! { true },
        (Some(first), None) => quote! { version >= #first },
        (None, Some(last)) => quote! { version <= #last },
        (Some(first), Some(last)) => quote! { (#first..=#last).contains(&version) },
    }
}

fn default(field: &PartField) -> TokenStream {
    let ty = &field.ty;
    match &field.default {
        Some(default) => quote! { (#default) },
        None => quote! { <#ty as ::std::default::Default>::default() },
    }
}

fn is_option(ty: &syn::Type) -> bool {
    matches!(ty, syn::Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

fn label(part: &Part, field: &PartField) -> String {
    format!("{}.{}", part.name, field.name)
}

impl Versions {
    fn is_all(self) -> bool {
        self.first.is_none_or(|first| first == 0) && self.last.is_none()
    }
}
