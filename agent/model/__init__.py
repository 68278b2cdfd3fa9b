"""Everything that speaks to a chat model."""
