//! A decision in the making.

use std::sync::Arc;

use super::Image;
use super::record::Record;

/// The image as it would be if what has been decided so far were appended: the second topic of a request must see the
/// first.
pub(super) struct Draft {
    image: Arc<Image>,
    records: Vec<Record>,
}

impl Draft {
    pub fn new(image: &Arc<Image>) -> Self {
        Self { image: Arc::clone(image), records: Vec::new() }
    }

    /// The image with everything that was pushed.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Adds a record to the decision.
    pub fn push(&mut self, record: Record) {
        let image = Arc::make_mut(&mut self.image);
        image.apply(image.offset().advanced(1), &record);
        self.records.push(record);
    }

    /// Forgets everything: the request only asked what would happen.
    pub fn discard(&mut self) {
        self.records.clear();
    }

    pub fn into_records(self) -> Vec<Record> {
        self.records
    }
}
