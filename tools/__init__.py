"""Floor 1: one capability a module, plain functions. Knows nothing of who calls them."""
