"""The schemas that other programs need: the one tool in OpenAI's form, and the Plan."""

from __future__ import annotations

from typing import Any

from stylus_gen.tools.errors import BadRequest


def read_schema(what: str) -> dict[str, Any]:
    """Give the JSON schema of the ``tool`` (as OpenAI's ``tools`` list takes it) or of the ``plan``."""
    if what == "plan":
        from stylus_gen.tools.plan import Plan

        return Plan.model_json_schema()
    if what == "tool":
        from langchain_core.utils.function_calling import convert_to_openai_tool

        from stylus_gen.api import Stylus
        from stylus_gen.doors.langchain import stylus_tool

        return convert_to_openai_tool(stylus_tool(Stylus()))
    raise BadRequest(f"no schema is called {what!r}: choose plan or tool")
