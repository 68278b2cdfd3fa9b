"""Reading a plan from a file."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from stylus_gen.tools.errors import BadRequest, faults
from stylus_gen.tools.plan import MAX_BYTES, Plan


def read_plan(path: str | Path) -> Plan:
    """Read a plan that `Plan.model_dump_json` wrote. Raises BadRequest for any other file."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise BadRequest(f"{str(path)!r} is not a plan: it has more than {MAX_BYTES:,} bytes")
        return Plan.model_validate_json(text)
    except OSError as error:
        raise BadRequest(f"the plan {str(path)!r} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise BadRequest(f"{str(path)!r} is not a plan: {faults(error, 1)}") from None
