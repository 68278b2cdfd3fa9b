from __future__ import annotations

from stylus_gen.tools.card import Card
from stylus_gen.tools.store.adapters import count_cards, get_card, upsert_cards
from stylus_gen.tools.store.database import Database

SHA = "ab" * 32


def test_a_card_comes_back_as_it_went_in(db: Database) -> None:
    card = Card(id=SHA, sha256=SHA, model_key="civitai-1", version_key="civitai-2", name="Fox", tags=["animal"])
    counts = upsert_cards(db, [card], source="civitai")
    assert (counts.taken, counts.changed) == (1, (SHA,))
    found = get_card(db, SHA)
    assert found.model_copy(update={"provenance": {}, "aliases": {}}) == card
    assert found.provenance["tags"] == "civitai"


def test_telling_the_same_again_changes_nothing(db: Database) -> None:
    card = Card(id=SHA, sha256=SHA, model_key="civitai-1", name="Fox")
    upsert_cards(db, [card], source="civitai")
    counts = upsert_cards(db, [card], source="civitai")
    assert (counts.unchanged, counts.taken, counts.changed) == (1, 0, ())
    assert count_cards(db) == 1
