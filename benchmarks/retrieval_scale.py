"""Search a large catalogue: copy real cards with changed words and vectors, load them in bulk, then search.

    python benchmarks/retrieval_scale.py --adapters civitai_adapters.jsonl.gz --gold gold_dev.jsonl.gz --home DIR \
        --cards 100000 [--index]

Cards that DIR already holds are not loaded again; if it holds enough, the command only measures. The originals are
embedded once and kept in DIR; a copy's vector is its original's plus a random step. ``--times 10`` then multiplies all
rows inside the database, with changed rare words and vectors, in minutes instead of an hour. ``--index`` builds
the HNSW index first, as ``stylus index`` does. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pgvector import HalfVector
from psycopg import sql

from stylus_gen.doors.progress_bar import progress_bar
from stylus_gen.eval.gold import read_gold
from stylus_gen.tools.card import Card
from stylus_gen.tools.ingest.civitai import read_object
from stylus_gen.tools.ingest.rows import read_rows
from stylus_gen.tools.plan import Policy
from stylus_gen.tools.search import search_adapters
from stylus_gen.tools.search.document import join_vectors, make_document
from stylus_gen.tools.search.embed import Embedder, minilm
from stylus_gen.tools.search.index import clean_index, index_cards, record_embedder, write_documents
from stylus_gen.tools.search.nearest import build_index, recall_of
from stylus_gen.tools.segment import segment_prompt
from stylus_gen.tools.store.adapters import mark_indexed, upsert_cards
from stylus_gen.tools.store.database import Database, open_database

FAMILY = "sd15"
BATCH = 2000
NOISE = 0.3
"""Length of the random step from an original's vector: cosines to it of about 0.96."""
CHANGED = 0.15
"""Share of ordinary words replaced by another card's."""
WORD = re.compile(r"[A-Za-z]{4,}")


def originals(path: Path) -> list[Card]:
    """Read the newest card of each model, of one family."""
    cards: dict[str, Card] = {}
    for _, row in (r for r in read_rows(path, lambda _: None) if isinstance(r, tuple)):
        for card in read_object(row, ""):
            if isinstance(card, Card) and card.family == FAMILY:
                cards.setdefault(card.model_key, card)
    return list(cards.values())


def replica(card: Card, number: int, vocabulary: Sequence[str]) -> Card:
    """Change a card's words: its own (name, triggers) get an ending of this replica, others are swapped at random."""
    chance = random.Random(f"{card.id} {number}")
    own = {word.lower() for word in WORD.findall(" ".join((card.name, *card.trigger_words)))}
    ending = "".join(chr(97 + number // 26**i % 26) for i in range(3))

    def change(match: re.Match[str]) -> str:
        word = match[0]
        if word.lower() in own:
            return word + ending
        return chance.choice(vocabulary) if chance.random() < CHANGED else word

    def text(value: str) -> str:
        return WORD.sub(change, value) if number else value

    key = f"{card.model_key}-{number}"
    return card.model_copy(
        update={
            "id": f"{key}-file",
            "sha256": None,
            "aliases": {},
            "model_key": key,
            "version_key": f"{key}-version",
            "name": text(card.name),
            "trigger_groups": [[text(word) for word in group] for group in card.trigger_groups],
            "description": text(card.description[:1000]),
            "creator": f"{card.creator}-{number}",
            "examples": [e.model_copy(update={"prompt": text(e.prompt)}) for e in card.examples],
            "file_name": f"{key}.safetensors",
        }
    )


def batches(cards: Sequence[Card], vectors: Any, start: int, stop: int) -> Iterator[tuple[list[Card], Any]]:
    """Yield cards with their vectors, the originals first."""
    vocabulary = [word for card in cards for example in card.examples for word in WORD.findall(example.prompt)]
    for first in range(start, stop, BATCH):
        numbers = np.arange(first, min(first + BATCH, stop))
        step = np.random.default_rng(first).standard_normal((len(numbers), vectors.shape[1]), np.float32)
        step *= NOISE * (numbers[:, None] >= len(cards)) / np.linalg.norm(step, axis=1, keepdims=True)
        rows = vectors[numbers % len(cards)] + step
        made = [replica(cards[n % len(cards)], n // len(cards), vocabulary) for n in numbers.tolist()]
        yield made, rows / np.linalg.norm(rows, axis=1, keepdims=True)


def embed_originals(cards: Sequence[Card], embedder: Embedder, cache: Path) -> Any:
    """Embed the originals as the index does, once."""
    if not cache.exists():
        rows = [join_vectors(embedder.embed(list(make_document([card]).texts))) for card in cards]
        np.save(cache, np.array(rows, np.float32))
    return np.load(cache)


def load(db: Database, embedder: Embedder, cards: Sequence[Card], vectors: Any, stop: int) -> dict[str, float]:
    """Write cards and search documents until there are ``stop``; return the rate, and seconds by part."""
    with db.pool.connection() as conn:
        (start,) = conn.execute("SELECT count(*) FROM search_documents").fetchone() or (0,)
    spent = {"cards": 0.0, "documents": 0.0, "index": 0.0}
    cpu = time.process_time()
    with progress_bar() as progress:
        for part, rows in batches(cards, vectors, start, stop):
            clock = time.perf_counter()
            upsert_cards(db, part, source="benchmark")
            spent["cards"] += (now := time.perf_counter()) - clock
            documents = [make_document([card]) for card in part]
            spent["documents"] += (clock := time.perf_counter()) - now
            with db.pool.connection() as conn, conn.transaction():
                record_embedder(conn, embedder)
                write_documents(conn, [card.model_key for card in part], documents, rows)
                mark_indexed(conn, [card.id for card in part])
            spent["index"] += time.perf_counter() - clock
            start += len(part)
            progress(start, stop, "loading")
            if start % (20 * BATCH) == 0:
                print(json.dumps({"loaded": start, **spent}), flush=True)
    clean_index(db)
    return {**spent, "client_cpu": time.process_time() - cpu}


def multiply(db: Database, times: int) -> None:
    """Write every row ``times - 1`` more times; words of at most three documents, and vectors, differ in each copy."""
    with db.pool.connection() as conn, progress_bar() as progress:
        conn.execute("SET work_mem = '512MB'")
        conn.execute("SET maintenance_work_mem = '1GB'")
        conn.execute("SET synchronous_commit = off")
        (dim,) = conn.execute("SELECT dim FROM search_settings").fetchone() or (0,)
        conn.execute("CREATE TEMP TABLE steps (n integer PRIMARY KEY, step halfvec)")
        noise = np.random.default_rng(0).standard_normal((1000, dim))
        noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
        with conn.cursor() as cursor:
            cursor.executemany("INSERT INTO steps VALUES (%s, %s)", [(n, HalfVector(v)) for n, v in enumerate(noise)])
        conn.execute(
            "CREATE TEMP TABLE split AS SELECT id, array_agg(key) FILTER (WHERE documents > 3) AS common, "
            "coalesce(array_agg(key) FILTER (WHERE documents <= 3), '{}') AS rare "
            "FROM (SELECT id, unnest(keys) AS key FROM search_documents) held JOIN search_keys USING (key) GROUP BY id"
        )
        conn.execute("DROP INDEX search_documents_keys")
        for n in range(1, times):
            for table in COPIES:
                conn.execute(sql.SQL(table), {"n": n})
            progress(n, times - 1, "multiplying")
        conn.execute("CREATE INDEX search_documents_keys ON search_documents USING gin (keys)")


COPIES = (
    """
    INSERT INTO models SELECT (jsonb_populate_record(m, jsonb_build_object('key', m.key || '*' || %(n)s::int))).*
    FROM models m WHERE key NOT LIKE '%%*%%'
    """,
    """
    INSERT INTO versions SELECT (jsonb_populate_record(v, jsonb_build_object(
        'key', v.key || '*' || %(n)s::int, 'model_key', model_key || '*' || %(n)s::int))).*
    FROM versions v WHERE key NOT LIKE '%%*%%'
    """,
    """
    INSERT INTO files SELECT (jsonb_populate_record(f, jsonb_build_object(
        'id', f.id || '*' || %(n)s::int, 'version_key', version_key || '*' || %(n)s::int))).*
    FROM files f WHERE id NOT LIKE '%%*%%'
    """,
    """
    INSERT INTO search_documents (model_key, family, kind, safe, nsfw_level, commercial, strict, installed, creator,
        downloads, body, keys, forms, vector)
    SELECT model_key || '*' || %(n)s::int, family, kind, safe, nsfw_level, commercial, strict, installed,
        ((creator + %(n)s * 7919::bigint) %% 2147483647)::int, downloads, body,
        common || ARRAY(SELECT hashint4(key # %(n)s::int) FROM unnest(rare) AS key), '{}',
        l2_normalize(vector + step)
    FROM search_documents JOIN split USING (id) JOIN steps ON steps.n = (id * 31 + %(n)s::int) %% 1000
    """,
)


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Compute p50, p95 and p99."""
    return {f"p{q}": round(float(np.percentile(milliseconds, q)), 1) for q in (50, 95, 99)}


def search_times(db: Database, embedder: Embedder, prompts: Sequence[str]) -> dict[str, Any]:
    """Time searches, warm, in milliseconds: segmentation aside, everything from prompt to candidates."""
    asked = [(prompt, segment_prompt(prompt)) for prompt in prompts]
    times, cpu = [], time.process_time()
    for _warm in range(2):
        times, cpu = [], time.process_time()
        for prompt, concepts in asked:
            start = time.perf_counter()
            search_adapters(db, embedder, prompt, concepts, family=FAMILY, policy=Policy())
            times.append(1000 * (time.perf_counter() - start))
    return {**percentiles(times), "client_cpu": round(1000 * (time.process_time() - cpu) / len(asked), 1)}


def add_times(db: Database, embedder: Embedder, card: Card, n: int = 30) -> dict[str, float]:
    """Time telling one new card, embedding and index and all, in milliseconds; the last one must be found at once."""
    times = []
    for i in range(n):
        name = f"quixotic{random.SystemRandom().randrange(10**9)}"
        new = replica(card, 10**6 + i, ["word"]).model_copy(update={"name": name, "trigger_groups": [[name]]})
        start = time.perf_counter()
        counts = upsert_cards(db, [new], source="benchmark")
        index_cards(db, embedder, counts.changed)
        times.append(1000 * (time.perf_counter() - start))
        found = search_adapters(db, embedder, f"a fox, {name}", [], family=FAMILY, policy=Policy(nsfw_level=31))
        if name not in (candidate.name for candidate in found["prompt"]):
            raise SystemExit(f"the card {name} was not found by the next search")
        with db.pool.connection() as conn:  # leave the catalogue as it was
            conn.execute("DELETE FROM search_documents WHERE model_key = %s", (new.model_key,))
            conn.execute("DELETE FROM files WHERE id = %s", (new.id,))
            conn.execute("DELETE FROM versions WHERE key = %s", (new.version_key,))
            conn.execute("DELETE FROM models WHERE key = %s", (new.model_key,))
    return percentiles(times)


def main() -> None:
    """Load, index, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapters", type=Path, required=True)
    parser.add_argument("--gold", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--cards", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--index", action="store_true")
    args = parser.parse_args()
    args.home.mkdir(parents=True, exist_ok=True)
    embedder = minilm()
    cards = originals(args.adapters)
    vectors = embed_originals(cards, embedder, args.home / "vectors.npy")
    prompts = [prompt.text for prompt in read_gold(args.gold) if prompt.text.strip()]
    prompts = prompts[:: max(1, len(prompts) // args.queries)][: args.queries]
    report: dict[str, Any] = {"cards": args.cards * args.times}
    with open_database(None, args.home) as db:
        report["load_seconds"] = load(db, embedder, cards, vectors, args.cards)
        if args.times > 1:
            start = time.perf_counter()
            multiply(db, args.times)
            report["multiply_seconds"] = round(time.perf_counter() - start)
        if args.index:
            start = time.perf_counter()
            with progress_bar() as progress:
                build_index(db, FAMILY, progress)
            report["index_seconds"] = round(time.perf_counter() - start)
        with db.pool.connection() as conn:
            conn.execute("VACUUM ANALYZE search_documents")
            conn.execute("VACUUM ANALYZE search_keys")
        report["recall"] = round(recall_of(db, FAMILY, list(embedder.embed(prompts[:50])), 60), 4)
        report["search_ms"] = search_times(db, embedder, prompts)
        report["add_ms"] = add_times(db, embedder, cards[0])
    report["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(report))


if __name__ == "__main__":
    main()
