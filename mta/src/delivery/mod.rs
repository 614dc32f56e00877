//! Mail on its way out: where to, over what, when again, and what its sender is told.
