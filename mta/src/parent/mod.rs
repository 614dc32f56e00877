//! The parent: reads the configuration, binds, starts the children and starts them again, and speaks to no stranger.
