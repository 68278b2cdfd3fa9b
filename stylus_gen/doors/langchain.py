"""The LangChain door: a tool for any agent, and the planning graph as a part of other LangGraph programs."""

from __future__ import annotations

import json
from typing import Annotated, Any

from langchain_core.tools import StructuredTool, ToolException
from pydantic import Field

from stylus_gen.api import Stylus
from stylus_gen.tools.errors import StylusError
from stylus_gen.tools.plan import Plan


def stylus_tool(stylus: Stylus) -> StructuredTool:
    """Make the tool ``compose_image`` of an open `Stylus`: it plans a prompt and, if asked, draws it.

    The model reads a short JSON text; the `Plan` is the message's artifact. What the caller can fix is an error message
    for the model; anything else is raised.
    """

    def compose_image(
        prompt: Annotated[str, Field(description="the picture in the user's own words")],
        images: Annotated[int, Field(ge=1, le=16)] = 1,
        draw: Annotated[bool, Field(description="false: only choose the adapters")] = True,
    ) -> tuple[str, Plan]:
        """Choose LoRA adapters from the user's catalogue for a prompt, say why, and draw the picture with them."""
        try:
            plan = stylus.plan(prompt, images=images)
            paths = [str(path) for path in stylus.generate(plan).images] if draw else []
        except StylusError as error:
            raise ToolException(error.message) from None
        return json.dumps({**_short(plan), "images": paths}, ensure_ascii=False), plan

    return StructuredTool.from_function(
        compose_image, response_format="content_and_artifact", handle_tool_error=lambda error: str(error)
    )


def _short(plan: Plan) -> dict[str, Any]:
    texts = {concept.id: concept.text for concept in plan.concepts}
    return {
        "adapters": [{"name": a.name, "for": texts[a.concept_id], "weight": a.weight} for a in plan.assignments],
        "without_adapter": [texts[concept] for concept in plan.coverage.uncovered],
        "warnings": list(plan.warnings),
    }
