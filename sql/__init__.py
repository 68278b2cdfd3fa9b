"""The migrations ``NNN_name.sql``, run in the order of their names. A released one is never edited; add a new file."""
