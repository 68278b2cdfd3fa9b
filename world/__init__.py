"""A small real world: a tiny base model and adapters that mean something, on any machine."""
