"""Import adapter cards from files on this machine into the store. Nothing is downloaded or copied."""

from stylus_gen.tools.ingest.importer import import_adapters
from stylus_gen.tools.ingest.summary import ImportSummary, Problem, write_problems

__all__ = ["ImportSummary", "Problem", "import_adapters", "write_problems"]
