"""Stylus as a part of other people's programs: each example is executed as it is shipped."""

from __future__ import annotations

import importlib.util
import json
import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from safetensors.torch import load_file

from stylus_gen import Plan, Stylus
from stylus_gen.doors.cli import main
from stylus_gen.doors.langchain import stylus_tool

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(autouse=True)
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLUS_DATABASE_URL", database_url)
    monkeypatch.setenv("STYLUS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STYLUS_OUTPUTS", str(tmp_path / "pictures"))
    monkeypatch.setenv("STYLUS_STEPS", "2")


@pytest.fixture
def stylus(environment: None) -> Iterator[Stylus]:
    with Stylus() as opened:
        yield opened


class Scripted(BaseChatModel):
    """A chat model that answers from a script and records what it was asked."""

    turns: list[AIMessage]
    heard: list[Sequence[BaseMessage]]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **more: Any) -> Any:
        return self

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **more: Any
    ) -> ChatResult:
        self.heard.append(messages)
        return ChatResult(generations=[ChatGeneration(message=self.turns[len(self.heard) - 1])])


def calls(**arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "compose_image", "args": arguments, "id": "1"}])


def test_an_agent_draws_by_calling_our_tool(stylus: Stylus) -> None:
    model = Scripted(turns=[calls(prompt="a penguin, glossy 3D style"), AIMessage("Here it is.")], heard=[])
    agent = create_agent(model, tools=[stylus_tool(stylus)])
    messages = agent.invoke({"messages": [HumanMessage("Draw me a penguin.")]})["messages"]
    (answer,) = (m for m in messages if isinstance(m, ToolMessage))
    read = json.loads(str(answer.content))
    assert [Path(path).is_file() for path in read["images"]] == [True]
    assert isinstance(answer.artifact, Plan)
    assert read["adapters"][0]["name"] == answer.artifact.assignments[0].name


def test_what_the_agent_can_correct_reaches_it_as_an_error(stylus: Stylus) -> None:
    model = Scripted(turns=[calls(prompt="  "), AIMessage("Sorry.")], heard=[])
    agent = create_agent(model, tools=[stylus_tool(stylus)])
    messages = agent.invoke({"messages": [HumanMessage("Draw nothing.")]})["messages"]
    (answer,) = (m for m in messages if isinstance(m, ToolMessage))
    assert answer.status == "error"
    assert "the prompt is empty" in str(answer.content)


def test_the_langgraph_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "langgraph_subgraph.py"), run_name="__main__")
    assert capsys.readouterr().out.startswith("a penguin, glossy 3D style (")


def test_the_langchain_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    model = Scripted(turns=[calls(prompt="a penguin, glossy 3D style"), AIMessage("Here it is.")], heard=[])
    monkeypatch.setenv("MODEL", "openai:any")
    monkeypatch.setattr("langchain.agents.create_agent", lambda name, tools: create_agent(model, tools=tools))
    runpy.run_path(str(EXAMPLES / "langchain_tool.py"), run_name="__main__")
    assert capsys.readouterr().out == "Here it is.\n"


def test_langgraph_json_names_a_graph_that_is_there() -> None:
    config = json.loads((EXAMPLES.parent / "langgraph.json").read_text(encoding="utf-8"))
    path, _, name = config["graphs"]["stylus"].partition(":")
    assert runpy.run_path(str(EXAMPLES.parent / path))[name].get_graph().nodes.keys() >= {"stylus", "caption"}


def test_schemas_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def printed(what: str) -> Any:
        with pytest.raises(SystemExit, match="0"):
            main(["schema", what])
        return json.loads(capsys.readouterr().out)

    tool = printed("tool")
    assert tool["function"]["parameters"]["required"] == ["prompt"]
    assert "assignments" in printed("plan")["properties"]


class Comfy:
    """The four names of ComfyUI that the node calls, and what they were called with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.loaded: list[tuple[float, float]] = []
        for name in ("comfy", "comfy.sd", "comfy.utils", "folder_paths"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        sd, utils, paths = (sys.modules[name] for name in ("comfy.sd", "comfy.utils", "folder_paths"))
        sys.modules["comfy"].sd, sys.modules["comfy"].utils = sd, utils  # type: ignore[attr-defined]
        sd.load_lora_for_models = self.load  # type: ignore[attr-defined]
        utils.load_torch_file = lambda path, safe_load: load_file(path)  # type: ignore[attr-defined]
        paths.get_full_path = lambda kind, name: str(folder / name)  # type: ignore[attr-defined]

    def load(self, model: str, clip: str, weights: dict[str, Any], strong: float, text: float) -> tuple[str, str]:
        assert weights
        self.loaded.append((strong, text))
        return f"{model}+", f"{clip}+"


def test_the_comfyui_node_patches_the_model_with_the_plan_s_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    from stylus_gen.world import adapters_path

    comfy = Comfy(monkeypatch, adapters_path())
    spec = importlib.util.spec_from_file_location("stylus_node", EXAMPLES / "comfyui" / "__init__.py")
    assert spec is not None and spec.loader is not None
    node = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(node)
    (name,) = node.NODE_CLASS_MAPPINGS
    run = node.NODE_CLASS_MAPPINGS[name]()
    assert set(run.INPUT_TYPES()["required"]) == {"model", "clip", "prompt", "family", "max_adapters", "seed"}
    model, clip, prompt, report = getattr(run, run.FUNCTION)("m", "c", "a penguin, glossy 3D style", "world", 4, 7)
    assert (model, clip) == ("m" + "+" * len(comfy.loaded), "c" + "+" * len(comfy.loaded))
    assert comfy.loaded
    assert "penguin" in prompt
    assert "at weight" in report
