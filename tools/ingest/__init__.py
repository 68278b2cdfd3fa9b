"""Importers: from other people's files to cards."""
