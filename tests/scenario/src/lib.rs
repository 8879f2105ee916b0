//! Scenario stories.
