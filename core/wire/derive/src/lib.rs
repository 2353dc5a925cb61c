//! Derives the encoding and decoding of Kafka messages from field attributes.
//!
//! ```text
//! #[derive(Message, Clone, Debug, PartialEq)]
//! #[message(versions = 4..=18, flexible = 12..)]
//! pub struct FetchRequest {
//!     #[field(versions = 12.., tag = 0, ignorable)]
//!     pub cluster_id: Option<String>,
//!     #[field(versions = ..=14, default = -1)]
//!     pub replica_id: i32,
//!     pub max_wait_ms: i32,
//!     pub topics: Vec<FetchTopic>,
//! }
//! ```
//!
//! `Message` is for the top level; the structs inside it derive `Part` and follow the version of their message. Fields
//! stand in the order of the wire. What a field may say:
//! * `versions = A..=B`: the versions that have the field, all of them if it does not say. In the others it decodes to
//!   its default, and it encodes only if it holds its default or is `ignorable`: it may be lost.
//! * `nullable = A..=B`: the versions in which an `Option` may be `None`, all of them if it does not say.
//! * `tag = N`: the field is tagged. It is written only if it differs from its default.
//! * `own`: the field is not Kafka's but Highwater's own; others skip its tag. What is compared with Kafka, random messages
//!   and trees, does without it.
//! * `text`: an `Option<String>` for people to read. What is longer than a string may be is cut off.
//! * `default = EXPRESSION`: instead of the type's own. Both derives implement `Default`.

mod expand;
mod parse;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `Message`, `Field`, `Nullable` and `Default` for a request or a response.
#[proc_macro_derive(Message, attributes(message, field))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    parse::message(&input).map_or_else(syn::Error::into_compile_error, |message| expand::message(&message)).into()
}

/// Derives `Field`, `Nullable` and `Default` for a struct inside a message.
#[proc_macro_derive(Part, attributes(field))]
pub fn derive_part(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    parse::part(&input).map_or_else(syn::Error::into_compile_error, |part| expand::part(&part)).into()
}
