"""The adapter store: Postgres, embedded or a server."""
