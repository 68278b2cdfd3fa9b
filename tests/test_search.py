"""Search as a caller sees it, in a real Postgres, over an invented catalogue and an embedder that counts letters."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import sql

from stylus_gen.tools.candidate import candidate_of, reasons
from stylus_gen.tools.card import Card, Example, Licence
from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.ingest.importer import import_adapters
from stylus_gen.tools.licence import forbids
from stylus_gen.tools.plan import Candidate, Policy, Profile
from stylus_gen.tools.search import search_adapters
from stylus_gen.tools.search.embed import Embedder
from stylus_gen.tools.search.explain import SAID
from stylus_gen.tools.search.index import index_cards
from stylus_gen.tools.search.nearest import build_index, distance, recall_of, sample_vectors
from stylus_gen.tools.search.recall import filters
from stylus_gen.tools.segment import segment_prompt
from stylus_gen.tools.store.adapters import get_card, get_cards, upsert_cards
from stylus_gen.tools.store.database import Database
from tests.fixtures.catalogue import MODELS, model, write_catalogue


def letters(dim: int = 26) -> Embedder:
    def embed(texts: Sequence[str]) -> NDArray[np.float32]:
        rows = np.array([[1 + text.lower().count(chr(97 + i)) for i in range(dim)] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return Embedder(f"letters-{dim}", dim, embed)


def stock(db: Database, folder: Path, models: list[dict[str, Any]], embedder: Embedder | None = None) -> None:
    import_adapters(db, write_catalogue(folder, models), embedder=embedder or letters(), progress=lambda *_: None)


@pytest.fixture
def stocked(db: Database, tmp_path: Path) -> Database:
    stock(db, tmp_path, MODELS)
    return db


def search(db: Database, prompt: str, family: str = "sd15", **more: Any) -> list[Candidate]:
    policy = more.pop("policy", Policy())
    return search_adapters(db, letters(), prompt, [], family=family, policy=policy, **more)["prompt"]


def names(db: Database, prompt: str, family: str = "sd15", **more: Any) -> list[str]:
    return [candidate.name for candidate in search(db, prompt, family, **more)]


def test_a_trigger_word_finds_its_adapter(stocked: Database) -> None:
    assert names(stocked, "1girl, (wanostyle:1.2), standing")[0] == "Wano Saga Style"


def test_a_short_prompt_that_names_an_adapter_finds_it_before_what_resembles_the_rest(
    db: Database, tmp_path: Path
) -> None:
    rivals = [model(i, f"Rival {i}", tags=["style"], triggers=[f"rival{i}x"], example="a fox") for i in range(2, 30)]
    stock(db, tmp_path, [model(1, "Techpunk", tags=["objects"], triggers=["techpunkmask"], example=" "), *rivals])
    best = search(db, "a fox, techpunkmask")[0]
    assert best.name == "Techpunk"
    assert best.score > 0.4


def test_a_misspelt_name_finds_its_adapter(stocked: Database) -> None:
    assert names(stocked, "zelphria in the rain")[0] == "Zelphira of Astermoor"
    assert names(stocked, "wanostile, a fox")[0] == "Wano Saga Style"
    assert "nearly trigger 'wanostile'" in search(stocked, "wanostile")[0].evidence


def test_a_name_written_apart_finds_the_joined_trigger(stocked: Database) -> None:
    assert names(stocked, "a misty forest")[0] == "Misty Forest"
    assert names(stocked, "a fox, wano style")[0] == "Wano Saga Style"


def test_each_concept_gets_a_ranking_of_its_own(stocked: Database) -> None:
    prompt = "zelphira, mistyforest"
    concepts = segment_prompt(prompt)
    found = search_adapters(stocked, letters(), prompt, concepts, family="sd15", policy=Policy())
    assert set(found) == {"prompt", *(concept.id for concept in concepts)}
    assert found[concepts[0].id][0].name == "Zelphira of Astermoor"
    assert found[concepts[1].id][0].name == "Misty Forest"


def test_a_candidate_says_which_evidence_found_it(stocked: Database) -> None:
    best = search(stocked, "1girl, wanostyle")[0]
    assert "trigger 'wanostyle'" in best.evidence
    assert best.trigger_groups == (("wanostyle",),)
    assert (best.weight, best.weight_source) == (0.8, "examples")
    assert 0 < best.score <= 1


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ("trigger 'wanostyle'", "the prompt says 'wanostyle', as its trigger words do"),
        ("nearly trigger 'wanostile'", "the prompt says 'wanostile', nearly as its trigger words do"),
        ("name 'wano saga'", "the prompt says 'wano saga', as its name does"),
        ("tags", "its tags fit"),
        ("partial: made for sdxl", "made for SDXL, it works only partly"),
    ],
)
def test_evidence_is_written_as_a_sentence(evidence: str, words: str) -> None:
    assert reasons([evidence]) == words


def test_all_that_search_measures_has_a_sentence(stocked: Database) -> None:
    every = [*SAID, *search(stocked, "1girl, wanostyle")[0].evidence]
    assert not set(every) & set(reasons(every).split("; "))


def test_what_the_family_cannot_use_is_not_found(stocked: Database) -> None:
    assert names(stocked, "chromerobot") != ["Chrome Robots XL"]
    assert "Chrome Robots XL" not in names(stocked, "chromerobot")
    assert names(stocked, "chromerobot", "sdxl") == ["Chrome Robots XL"]


def test_a_partly_compatible_adapter_is_found_and_marked(stocked: Database) -> None:
    found = search(stocked, "chromerobot", "pony")
    assert [c.name for c in found] == ["Chrome Robots XL"]
    assert "partial: made for sdxl" in found[0].evidence


def test_real_people_are_never_found(stocked: Database) -> None:
    assert "A Real Person" not in names(stocked, "arealperson", policy=Policy(nsfw_level=31))


def test_licences_filter_before_ranking(stocked: Database) -> None:
    assert names(stocked, "mistyforest")[0] == "Misty Forest"
    assert "Misty Forest" not in names(stocked, "mistyforest", policy=Policy(profile="commercial"))
    assert "Wano Saga Style" in names(stocked, "wanostyle", policy=Policy(profile="strict"))


def test_a_licence_that_nobody_stated_fails_the_commercial_profiles(db: Database, tmp_path: Path) -> None:
    stock(db, tmp_path, [model(1, "Silent", tags=["style"], triggers=["silentstyle"], allowCommercialUse=None)])
    assert names(db, "silentstyle") == ["Silent"]
    assert names(db, "silentstyle", policy=Policy(profile="commercial")) == []


def test_only_the_kinds_asked_for_are_found(stocked: Database) -> None:
    assert set(names(stocked, "wanostyle, kimonodx", kinds=["clothing"])) == {"Kimono Deluxe"}


def test_only_installed_adapters_if_asked(stocked: Database, tmp_path: Path) -> None:
    assert names(stocked, "wanostyle", policy=Policy(installed_only=True)) == []
    card = get_card(stocked, "Wano Saga Style").model_copy(update={"path": str(tmp_path / "a.safetensors")})
    counts = upsert_cards(stocked, [card], source="folder")
    index_cards(stocked, letters(), counts.changed, lambda *_: None)
    found = search(stocked, "wanostyle", policy=Policy(installed_only=True))
    assert [(c.name, c.installed) for c in found] == [("Wano Saga Style", True)]


def test_a_changed_card_is_found_by_the_next_search(stocked: Database, tmp_path: Path) -> None:
    assert names(stocked, "quixotic lighthouse, newtrigger")[0] != "Wano Saga Style"
    stock(stocked, tmp_path, [model(1, "Wano Saga Style", tags=["style"], triggers=["newtrigger"])])
    assert names(stocked, "quixotic lighthouse, newtrigger")[0] == "Wano Saga Style"


def test_indexing_again_changes_no_frequency(stocked: Database) -> None:
    def frequencies() -> list[Any]:
        with stocked.pool.connection() as conn:
            return conn.execute("SELECT key, documents FROM search_keys WHERE documents > 0 ORDER BY key").fetchall()

    before = frequencies()
    with stocked.pool.connection() as conn:
        ids = [row[0] for row in conn.execute("SELECT id FROM files")]
    index_cards(stocked, letters(), ids, lambda *_: None)
    assert frequencies() == before


def any_card(n: int, draw: random.Random) -> Card:
    stated = [None, True, False]
    sold = [None, frozenset(), frozenset({"image"}), frozenset({"sell"}), frozenset({"rent"})]
    licence = Licence(
        commercial=draw.choice(sold), credit_required=draw.choice(stated), derivatives=draw.choice(stated)
    )
    return Card(
        id=f"{n:064x}", model_key=f"m-{n}", name=f"Fox {n}", family="sd15", nsfw_level=draw.randrange(64),
        poi=draw.random() < 0.1, minor=draw.random() < 0.1, licence=licence,
    )  # fmt: skip


def test_search_filters_by_the_same_policy_as_the_rules_for_cards(db: Database) -> None:
    draw = random.Random(7)
    written = [any_card(n, draw) for n in range(300)]
    index_cards(db, letters(), upsert_cards(db, written, source="civitai").changed)
    cards = get_cards(db, [card.id for card in written])
    for profile, level in product(get_args(Profile), [1, 2, 5, 8, 31]):
        policy = Policy(profile=profile, nsfw_level=level)
        query = sql.SQL("SELECT model_key FROM search_documents WHERE {}").format(filters("sd15", policy, None))
        with db.pool.connection() as conn:
            found = {key for (key,) in conn.execute(query)}
        assert found == {card.model_key for card in cards if forbids(card, policy) is None}


def test_search_shows_the_weight_and_the_summary_that_plans_use(db: Database) -> None:
    used = [Example(prompt="a fox", weight=0.6), Example(prompt="a red fox", weight=0.7)]
    written = Card(
        id="a" * 64, model_key="m", name="Fox", kind="object", family="sd15", tags=["animal"], examples=used,
        weight=1.0, weight_source="author", description="A fox.",
    )  # fmt: skip
    index_cards(db, letters(), upsert_cards(db, [written], source="civitai").changed)
    found = search(db, "a fox")[0]
    assert (found.weight, found.weight_source) == (0.65, "examples")
    assert found.summary == "object; animal; A fox."
    pinned = candidate_of(get_card(db, "Fox"))
    assert found == pinned.model_copy(update={"score": found.score, "evidence": found.evidence})


def test_the_versions_of_a_model_are_one_candidate(db: Database, tmp_path: Path) -> None:
    one = model(1, "Twice", tags=["style"], triggers=["twicestyle"], file="twice_1")
    two = model(1, "Twice", tags=["style"], triggers=["twicestyle"], file="twice_2")
    two["modelVersions"][0] |= {"id": 11, "name": "v2", "createdAt": "2026-02-01T00:00:00.000Z"}
    one["modelVersions"] += two["modelVersions"]
    stock(db, tmp_path, [one])
    assert [(c.name, c.version) for c in search(db, "twicestyle")] == [("Twice", "v2")]


def test_another_embedder_is_refused_and_nothing_is_stored(stocked: Database) -> None:
    other = letters(dim=20)
    with pytest.raises(BadRequest, match="embedded by 'letters-26' \\(26 dimensions\\), not by 'letters-20'"):
        search_adapters(stocked, other, "wanostyle", [], family="sd15", policy=Policy())
    with pytest.raises(BadRequest, match="letters-20"):
        index_cards(stocked, other, [get_card(stocked, "Misty Forest").id], lambda *_: None)
    assert names(stocked, "mistyforest")[0] == "Misty Forest"


def test_an_embedder_that_gives_another_dimension_than_it_says_is_refused_and_nothing_is_stored(
    db: Database, tmp_path: Path
) -> None:
    liar = Embedder("letters-26", 26, letters(dim=20).embed)
    with pytest.raises(BadRequest, match=r"gave \(\d+, 20\) numbers"):
        import_adapters(db, write_catalogue(tmp_path), embedder=liar, progress=lambda *_: None)
    assert names(db, "wanostyle") == []
    stock(db, tmp_path, MODELS)
    assert names(db, "wanostyle")[0] == "Wano Saga Style"
    with pytest.raises(BadRequest, match=r"gave \(1, 20\) numbers"):
        search_adapters(db, liar, "wanostyle", [], family="sd15", policy=Policy())


def test_an_empty_prompt_is_refused(stocked: Database) -> None:
    with pytest.raises(BadRequest, match="prompt is empty"):
        search(stocked, " \n ")


def test_a_search_in_an_empty_catalogue_finds_nothing(db: Database) -> None:
    assert names(db, "wanostyle") == []


@pytest.mark.parametrize(
    "prompt",
    [
        "the of and a in to is it",
        "'; DROP TABLE search_documents; --",
        "wanostyle & !kimono | (a <-> b):* \\",
        "wanostyle\x00\x01\x1b[31m\u202e\ufeff",
        "(((((:1.5))))) [[]] {} <lora::> , , ,",
        "🦊🦊🦊 狐 きつね 여우 лиса",
        "%s %(x)s {} $1 ?",
    ],
)
def test_hostile_queries_are_only_words(stocked: Database, prompt: str) -> None:
    search(stocked, prompt)
    assert names(stocked, "wanostyle")[0] == "Wano Saga Style"


def test_a_query_of_five_thousand_words_ends_soon(stocked: Database) -> None:
    start = time.process_time()
    assert search(stocked, "wanostyle, " + " ".join(f"word{i}" for i in range(5000)))[0].name == "Wano Saga Style"
    assert time.process_time() - start < 5


def test_a_monstrous_card_is_indexed_within_bounds(db: Database, tmp_path: Path) -> None:
    monster = model(1, "", tags=["style"], triggers=[f"trigger{i}" for i in range(2000)], file="monster")
    monster["description"] = "<p>" + "lorem ipsum dolor " * 60_000 + "</p>"
    stock(db, tmp_path, [monster])
    assert names(db, "trigger1")[0] == "monster"
    with db.pool.connection() as conn:
        row = conn.execute("SELECT length(body), cardinality(keys) FROM search_documents").fetchone()
    assert row is not None
    assert row[0] < 20_000
    assert row[1] < 5_000


def test_the_index_by_meaning_is_used_and_finds_what_exact_search_finds(stocked: Database) -> None:
    seen: list[tuple[int, int, str]] = []
    assert build_index(stocked, "sd15", lambda *report: seen.append(report)) == 7
    assert build_index(stocked, "sd15", lambda *_: None) == 7
    assert seen[-1] == (7, 7, "building the index")
    assert recall_of(stocked, "sd15", sample_vectors(stocked, "sd15", 3), 5) == 1
    with stocked.pool.connection() as conn, conn.transaction():
        conn.execute("SET LOCAL enable_seqscan = off")
        where = filters("sd15", Policy(), None)
        query = sql.SQL("EXPLAIN SELECT id FROM search_documents WHERE {} ORDER BY {} LIMIT 5")
        rows = conn.execute(query.format(where, distance(26)), (HalfVector([1.0] * 26),)).fetchall()
    assert "search_documents_near_sd15" in str(rows)
    assert names(stocked, "wanostyle")[0] == "Wano Saga Style"


def test_an_index_of_an_unknown_or_empty_family_is_refused(stocked: Database) -> None:
    with pytest.raises(BadRequest, match="no family is called 'sd16'"):
        build_index(stocked, "sd16", lambda *_: None)
    with pytest.raises(BadRequest, match="no adapter for flux is in the catalogue"):
        build_index(stocked, "flux", lambda *_: None)


def test_a_file_s_own_stem_finds_it_unless_it_is_anyone_s(db: Database, tmp_path: Path) -> None:
    bird = model(11, "Brass Bird", tags=["animal"], triggers=["brsbrd"], file="Steampunk_Owl_v3")
    train = model(12, "Night Train", tags=["vehicle"], triggers=["nghttrn"], file="last")
    stock(db, tmp_path, [*MODELS, bird, train])
    found = search(db, "Steampunk_Owl_v3")
    assert found[0].name == "Brass Bird" and found[0].score > 0.9
    assert search(db, "a steampunk owl")[0].score < 0.9
    assert not [c for c in search(db, "last") if c.name == "Night Train" and c.score > 0.1]


def pets(db: Database, folder: Path) -> None:
    """Stock adapters of things, enough for a word's rarity to say something."""
    things = ["Dog", "Burger", "Wolves", "Ice Cream Cone", "Geese", "Volcano", "Puppy", "Penguin", "Box"]
    rest = [f"Thing {i}" for i in range(40)]
    stock(db, folder, [model(i, n, tags=["object"], triggers=[n.lower()]) for i, n in enumerate(things + rest, 1)])


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("two dogs", "Dog"),
        ("a wolf in the snow", "Wolves"),
        ("ice cream cones", "Ice Cream Cone"),
        ("a goose on a hill", "Geese"),
        ("three volcanoes at night", "Volcano"),
        ("puppies", "Puppy"),
        ("Penguins (cute:1.2)", "Penguin"),
        ("boxes", "Box"),
    ],
)
def test_a_name_in_its_other_number_finds_its_adapter_and_is_no_surer_than_an_exact_one(
    db: Database, tmp_path: Path, prompt: str, name: str
) -> None:
    pets(db, tmp_path)
    exact = search(db, name)[0]
    found = search(db, prompt)[0]
    assert (found.name, exact.name) == (name, name)
    assert 0.2 <= found.score <= exact.score + 0.001


def test_an_exact_name_comes_before_the_same_in_its_other_number(db: Database, tmp_path: Path) -> None:
    things = ["Dog", "Dogs", "Burger", "Penguin"]
    stock(db, tmp_path, [model(i, n, tags=["object"], triggers=[n.lower()]) for i, n in enumerate(things, 1)])
    assert names(db, "two dogs")[:2] == ["Dogs", "Dog"]
    assert names(db, "a dog")[:2] == ["Dog", "Dogs"]


def test_a_plural_in_a_description_is_not_the_name(db: Database, tmp_path: Path) -> None:
    pets(db, tmp_path)
    told = model(
        90, "Nothing", tags=["object"], triggers=["nothing"], description="It was made for burgers of all sorts."
    )
    stock(db, tmp_path, [told])
    assert "description" not in next(c for c in search(db, "a burger", limit=99) if c.name == "Nothing").evidence
