"""Floor 2: the LangGraph state machine. Knows tools; knows nothing of SQL or tensors."""
