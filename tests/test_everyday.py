"""Plans for people who do not know the trigger words, on an invented catalogue: names, languages, odd input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from stylus_gen.agent.graph import plan_prompt
from stylus_gen.agent.offline import OFFLINE
from stylus_gen.agent.request import PlanRequest
from stylus_gen.context import agent_context
from stylus_gen.tools.concepts import join_concepts
from stylus_gen.tools.ingest import import_adapters
from stylus_gen.tools.plan import Concept, Plan
from stylus_gen.tools.search.concepts import named_concepts
from stylus_gen.tools.search.embed import minilm
from stylus_gen.tools.segment import segment_prompt
from stylus_gen.tools.store.database import Database
from tests.fixtures.catalogue import model, write_catalogue

MODELS = [
    model(1, "Zelphira Nightbloom (Astral Saga)", tags=["character", "astral saga"], triggers=["zelnight"]),
    model(2, "[Astral Saga] Orvandel the Grey - LoRA v2", tags=["character", "astral saga"], triggers=["orvandelxl"]),
    model(3, "Watercolor Dreams Style", tags=["style", "watercolor"], triggers=["wtrclrdrm"]),
    model(4, "Kimono | Clothing", tags=["clothing", "kimono"], triggers=["kmndx"]),
    model(5, "Misty Forest", tags=["background", "forest"], triggers=["mstfrst"]),
    model(6, "MossyGlassAI", tags=["style"], triggers=["mossyglassai"]),
    model(7, "Tavrin Quell ター゙リン", tags=["character"], triggers=["tvq"]),
    model(8, "Brakka", tags=["character"], triggers=["brkk"]),
    *(model(i, f"Filler {word}", tags=["concept"], triggers=[f"filler{word}"])
      for i, word in enumerate(("alpha", "omega", "sigma", "delta", "kappa", "lambda", "theta"), 20)),
]  # fmt: skip


@pytest.fixture
def stocked(db: Database, tmp_path: Path) -> Database:
    import_adapters(db, write_catalogue(tmp_path, MODELS), embedder=minilm(), progress=lambda *_: None)
    return db


def plan(db: Database, prompt: str) -> Plan:
    return plan_prompt(PlanRequest(prompt=prompt, family="sd15", seed=1), agent_context(db, minilm(), OFFLINE))


def chosen(db: Database, prompt: str) -> set[int]:
    return {int(assignment.model_key.removeprefix("civitai-")) for assignment in plan(db, prompt).assignments}


def named(db: Database, prompt: str) -> list[str]:
    return [concept.text for concept in named_concepts(db, prompt)]


def texts(concepts: Sequence[Concept]) -> list[str]:
    return [concept.text for concept in concepts]


def test_a_sentence_that_names_several_adapters_gets_them_all(stocked: Database) -> None:
    prompt = "could you draw Zelphira Nightbloom wearing a kimono in a misty forest, in watercolor dreams style"
    assert chosen(stocked, prompt) == {1, 3, 4, 5}


@pytest.mark.parametrize(
    "prompt",
    [
        "nightbloom zelphira eating noodles",
        "Zelphira Nightbloom eating noodles",
        "zelphira nightblom eating noodles",
        "Zelphira from Astral Saga eating noodles",
        "Zel\u200bphira Night\u200bbloom eating noodles",
        "ZELPHIRA NIGHTBLOOM EATING NOODLES",
    ],
)
def test_a_name_is_understood_in_any_order_case_and_near_spelling(stocked: Database, prompt: str) -> None:
    assert chosen(stocked, prompt) == {1}


def test_the_longest_name_is_one_concept_whatever_the_grammar(stocked: Database) -> None:
    prompt = "a painting of zelphira nightbloom by the sea"
    assert "zelphira nightbloom" in named(stocked, prompt)
    concepts = join_concepts(prompt, segment_prompt(prompt), named_concepts(stocked, prompt))
    assert "zelphira nightbloom" in texts(concepts)
    assert "zelphira" not in texts(concepts)


def test_a_series_that_only_says_where_somebody_is_from_is_no_concept(stocked: Database) -> None:
    prompt = "Zelphira from Astral Saga in the rain"
    concepts = join_concepts(prompt, segment_prompt(prompt), named_concepts(stocked, prompt))
    assert not any("Saga" in text for text in texts(concepts))
    assert chosen(stocked, prompt) == {1}


def test_another_character_of_the_series_is_not_taken_for_the_one_that_is_missing(stocked: Database) -> None:
    assert chosen(stocked, "Mirabelle from Astral Saga riding a bicycle") == set()


@pytest.mark.parametrize(
    "prompt",
    [
        "Zelphira Nightbloom im Kimono, Aquarell",
        "Zelphira Nightbloom en kimono, façon aquarelle",
        "Zelphira Nightbloom en kimono, estilo acuarela",
        "Zelphira Nightbloom com um quimono, em aquarela",
        "Zelphira Nightbloom in un kimono, ad acquerello",
        "Zelphira Nightbloom в кимоно, акварелью",
        "Zelphira Nightbloom w kimonie, akwarelą",
        "着物を着たZelphira Nightbloom、水彩画",
        "穿和服的Zelphira Nightbloom，水彩画",
        "기모노를 입은 Zelphira Nightbloom, 수채화",
    ],
)
def test_notions_in_ten_languages_find_adapters_with_english_names(stocked: Database, prompt: str) -> None:
    assert {1, 4} <= chosen(stocked, prompt)


def test_english_words_are_searched_for_and_never_drawn(stocked: Database) -> None:
    made = plan(stocked, "Zelphira Nightbloom im Kimono, Aquarell")
    assert "watercolor" not in made.final_prompt.replace("wtrclrdrm", "")
    assert all(made.prompt[c.start : c.end] == c.text for c in made.concepts)


@pytest.mark.parametrize(
    "prompt",
    ["a girl on a bridge without a kimono", "ein Mädchen ohne Kimono", "une fille sans kimono", "девушка без кимоно"],
)
def test_nothing_is_chosen_for_what_is_not_wanted(stocked: Database, prompt: str) -> None:
    assert 4 not in chosen(stocked, prompt)


@pytest.mark.parametrize(
    "prompt",
    ["a red tractor in a wheat field", "my dog on the beach", "please make me a picture for my dnd group", "lol"],
)
def test_plain_prompts_get_no_adapter(stocked: Database, prompt: str) -> None:
    assert chosen(stocked, prompt) == set()


def test_a_plans_concepts_share_no_words(stocked: Database) -> None:
    concepts = plan(stocked, "Zelphira Nightbloom in a red silk kimono in a misty forest at dawn").concepts
    places = sorted((concept.start, concept.end) for concept in concepts)
    assert all(end <= start for (_, end), (start, _) in pairwise(places))
    assert {"Zelphira Nightbloom", "kimono", "misty forest"} <= set(texts(concepts))


@pytest.mark.parametrize(
    "prompt",
    [
        "Zelphira Nightbloom",
        " ".join(["Zelphira Nightbloom"] * 40),
        ", ".join(f"Name{i} Surname{i}" for i in range(40)),
        "Zelphira в кимоно の絵 그림 im Nebelwald",
        "no kimono, no forest, no watercolor, no Zelphira",
        "nothing",
        "der die das und",
        "の",
        "Zelphira" * 600,
    ],
)
def test_odd_prompts_are_planned_without_an_error(stocked: Database, prompt: str) -> None:
    made = plan(stocked, prompt)
    assert len(made.assignments) <= 4


def test_names_follow_the_catalogue_card_by_card(stocked: Database, tmp_path: Path) -> None:
    assert named(stocked, "brakka and orvandel") == ["brakka", "orvandel"]
    renamed = [model(8, "Drummok", tags=["character"], triggers=["brkk"])]
    import_adapters(stocked, write_catalogue(tmp_path, renamed), embedder=minilm(), progress=lambda *_: None)
    assert named(stocked, "drummok and brakka and orvandel") == ["drummok", "orvandel"]


def test_an_index_without_names_gets_them_at_the_first_prompt(stocked: Database) -> None:
    with stocked.pool.connection() as conn:
        conn.execute("TRUNCATE search_names")
    assert named(stocked, "brakka in the rain") == ["brakka"]


def test_an_empty_catalogue_names_nothing(db: Database) -> None:
    assert named(db, "Zelphira Nightbloom im Nebelwald") == ["Nebelwald"]
    assert plan(db, "Zelphira Nightbloom im Nebelwald").assignments == ()
