"""Everything that speaks to a chat model: one question, one answer. The loop that asks again is in agent/graph.py."""
