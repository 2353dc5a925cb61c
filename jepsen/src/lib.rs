//! Histories of client operations and the checkers that judge them.
