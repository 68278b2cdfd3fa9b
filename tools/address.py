"""The address of a model server, split into a part that may be shown and stored, and its login."""

from __future__ import annotations

import base64
import re
from typing import NamedTuple
from urllib.parse import unquote

from stylus_gen.tools.errors import BadRequest

_HOST = r"(?:\[[0-9A-Fa-f:.%]*\]|[^/?#@:\[\]\s]+)(?::\d{1,5})?"
_URL = re.compile(rf"(https?://)(?:([^/?#@\s]*)@)?({_HOST})((?:/[^?#@\s]*)?)((?:\?[^#@\s]*)?)", re.IGNORECASE)


class Address(NamedTuple):
    """``public`` has no user, password or query; ``login`` is the Authorization header for user and password."""

    public: str
    query: str
    login: str | None


def read_address(url: str) -> Address:
    """Read the address of a server. Raises BadRequest for an ambiguous address, without showing it."""
    found = _URL.fullmatch(url)
    if found is None:
        raise BadRequest(
            "STYLUS_MODEL_BASE_URL is no address; expected http://host:8080/v1, with special characters in a user or "
            "password percent-encoded: @ as %40, / as %2F, : as %3A"
        )
    scheme, user, place, path, query = found.groups()
    login = base64.b64encode(unquote(user).encode()).decode() if user else None
    return Address(f"{scheme}{place}{path}".rstrip("/"), query, f"Basic {login}" if login else None)
