"""The doors' table of errors."""

from __future__ import annotations

import pytest

from stylus_gen.doors.errors import outcome_of
from stylus_gen.tools.errors import BadRequest, StylusError


def test_every_error_has_a_row() -> None:
    rows = {outcome_of(error) for error in StylusError.__subclasses__()}
    assert len({row.exit_code for row in rows}) == len(StylusError.__subclasses__())


def test_a_subclass_of_an_error_leaves_like_its_parent() -> None:
    class TooManyPictures(BadRequest):
        """A more exact BadRequest."""

    assert outcome_of(TooManyPictures) == outcome_of(BadRequest)


@pytest.mark.parametrize("error", StylusError.__subclasses__())
def test_over_mcp_the_calling_model_reads_every_error(error: type[StylusError]) -> None:
    assert outcome_of(error).mcp == "tool"
