"""Threads: a conversation and its plan, the edits, and the two readers of a follow-up line."""
