//! The seeded world in which Highwater is tested.
