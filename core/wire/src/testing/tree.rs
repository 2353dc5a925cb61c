//! Messages as trees, for those who look at any message field by field.
//!
//! The derives implement [`ToTree`] when the crate is built with the feature `testing`.

use bytes::Bytes;

use crate::payload::Records;
use crate::uuid::Uuid;

/// A value of any field.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// What is null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of any width.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// A string.
    Text(String),
    /// A UUID.
    Id(Uuid),
    /// Bytes that mean nothing to the protocol.
    Bytes(Bytes),
    /// Record batches.
    Records(Bytes),
    /// An array.
    List(Vec<Tree>),
    /// A struct: its fields by name, in the order of the wire.
    Part(Vec<(&'static str, Tree)>),
}

/// A type that can be seen as a tree.
pub trait ToTree {
    /// The value, with everything in it.
    fn to_tree(&self) -> Tree;
}

impl Tree {
    /// A field of a struct.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Part(fields) = self else { return None };
        fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value)
    }
}

macro_rules! integers_to_tree {
    ($($number:ty),+) => {
        $(
            impl ToTree for $number {
                fn to_tree(&self) -> Tree {
                    Tree::Integer(i64::from(*self))
                }
            }
        )+
    };
}

integers_to_tree!(i8, i16, i32, i64, u16, u32);

impl ToTree for bool {
    fn to_tree(&self) -> Tree {
        Tree::Bool(*self)
    }
}

impl ToTree for f64 {
    fn to_tree(&self) -> Tree {
        Tree::Real(*self)
    }
}

impl ToTree for String {
    fn to_tree(&self) -> Tree {
        Tree::Text(self.clone())
    }
}

impl ToTree for Uuid {
    fn to_tree(&self) -> Tree {
        Tree::Id(*self)
    }
}

impl ToTree for Bytes {
    fn to_tree(&self) -> Tree {
        Tree::Bytes(self.clone())
    }
}

impl ToTree for Records {
    /// A gap has no bytes to show: it is never the result of decoding.
    fn to_tree(&self) -> Tree {
        match self {
            Self::Null | Self::Gap { .. } => Tree::Null,
            Self::Inline(bytes) => Tree::Records(bytes.clone()),
        }
    }
}

impl<T: ToTree> ToTree for Option<T> {
    fn to_tree(&self) -> Tree {
        self.as_ref().map_or(Tree::Null, T::to_tree)
    }
}

impl<T: ToTree> ToTree for Vec<T> {
    fn to_tree(&self) -> Tree {
        Tree::List(self.iter().map(T::to_tree).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{MetadataResponse, MetadataResponseTopic};

    #[test]
    fn a_message_is_a_tree_of_its_fields() {
        let topic = MetadataResponseTopic { error_code: 3, name: Some("a".into()), ..Default::default() };
        let tree = MetadataResponse { topics: vec![topic], ..Default::default() }.to_tree();
        let Some(Tree::List(topics)) = tree.field("topics") else { panic!("topics are a list") };
        assert_eq!(topics[0].field("error_code"), Some(&Tree::Integer(3)));
        assert_eq!(topics[0].field("name"), Some(&Tree::Text("a".into())));
        assert_eq!(tree.field("cluster_id"), Some(&Tree::Null));
        assert_eq!(tree.field("no_such_field"), None);
    }
}
