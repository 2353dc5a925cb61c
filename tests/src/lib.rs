//! Scenarios, real clients and real processes.
