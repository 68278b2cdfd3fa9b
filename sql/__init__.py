"""Floor 0: numbered migrations (``NNN_name.sql``) and named queries. Data only."""
