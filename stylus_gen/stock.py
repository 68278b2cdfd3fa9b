"""Whether the store holds adapters for a base. The small world brings its own."""

from __future__ import annotations

from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.families import Family, usable_families
from stylus_gen.tools.store.adapters import count_families
from stylus_gen.tools.store.database import Database
from stylus_gen.tools.store.places import used_paths
from stylus_gen.world import adapter_stems


def require_adapters(db: Database, family: Family) -> None:
    """Raise BadRequest if the store holds no adapter that a base of this family can use."""
    counts = count_families(db)
    if any(counts.get(usable) for usable in usable_families(family)):
        return
    held = ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"
    raise BadRequest(
        f"the base is {family} and the store holds no adapter for it (it holds: {held}); "
        "import some with `stylus import FOLDER`, or choose another --base or --family"
    )


def holds_world(db: Database) -> bool:
    """Tell whether the store knows a file for every shipped adapter."""
    shipped = list(adapter_stems())
    return len(used_paths(db, shipped)) == len(shipped)
