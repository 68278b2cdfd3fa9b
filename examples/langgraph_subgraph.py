"""Stylus's planning graph as one node of a LangGraph program of your own."""

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from stylus_gen import Plan, Stylus
from stylus_gen.agent.context import AgentContext
from stylus_gen.agent.graph import planning_graph
from stylus_gen.agent.request import PlanRequest


class Story(TypedDict, total=False):
    """What your program knows; ``request`` and ``plan`` are the keys that it shares with Stylus."""

    request: PlanRequest
    plan: Plan
    caption: str


def caption(story: Story) -> Story:
    """Write a caption that names the adapters."""
    names = ", ".join(a.name for a in story["plan"].assignments) or "no adapter"
    return {"caption": f"{story['plan'].prompt} ({names})"}


graph = (
    StateGraph(Story, context_schema=AgentContext)
    .add_node("stylus", planning_graph())
    .add_node("caption", caption)
    .add_edge(START, "stylus")
    .add_edge("stylus", "caption")
    .add_edge("caption", END)
    .compile()
)

if __name__ == "__main__":
    with Stylus() as stylus:
        made = graph.invoke({"request": stylus.request("a penguin, glossy 3D style")}, context=stylus.context)
        print(made["caption"])
