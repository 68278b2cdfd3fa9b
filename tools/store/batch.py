"""Write a batch of cards into the catalogue: load the rows they touch, merge the cards in, write the rows back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from stylus_gen.tools.card import Card
from stylus_gen.tools.store.database import Connection
from stylus_gen.tools.store.provenance import (
    FILE,
    MODEL,
    VERSION,
    Claims,
    authority,
    claims_of,
    from_columns,
    merge,
    to_columns,
)

Change = Literal["taken", "updated", "merged", "unchanged"]

# Hashes long enough to identify a file; a CRC32 or AutoV1 (32 bits) is too short.
IDENTITY = ("sha256", "blake3", "autov3", "autov2")
JSON = ("trigger_groups", "examples")


class Batch:
    """The rows that some cards touch, as claims. Load them, add the cards in order, then write."""

    def __init__(self, conn: Connection, source: str) -> None:
        self.conn = conn
        self.source = source
        self.models: dict[str, Claims] = {}
        self.versions: dict[str, Claims] = {}
        self.files: dict[str, Claims] = {}
        self.hashes: dict[tuple[str, str], set[str]] = {}
        self.renamed: dict[str, str] = {}  # file id: SHA-256
        self.digests: dict[tuple[str, str], tuple[str, str]] = {}  # (card id, version key): (digest, file id)
        self.reuploads: list[tuple[str, str]] = []  # (model key of the card, model key kept)
        self.written: set[str] = set()

    def read_digests(self, card_ids: Sequence[str]) -> dict[tuple[str, str], str]:
        """Read the digests of the source's last cards, by (card id, version key)."""
        rows = self.conn.execute(
            "SELECT card_id, version_key, digest FROM source_digests WHERE source = %s AND card_id = ANY(%s)",
            (self.source, list(card_ids)),
        )
        return {(row[0], row[1]): row[2] for row in rows}

    def load(self, cards: list[Card]) -> None:
        """Read all rows that these cards may touch."""
        values = list({value for card in cards for _, value in _hashes(card)})
        for value, kind, file_id in self.conn.execute(
            "SELECT value, kind, file_id FROM hashes WHERE value = ANY(%s)", (values,)
        ):
            self.hashes.setdefault((kind, value), set()).add(file_id)
        ids = {i for found in self.hashes.values() for i in found} | {card.id for card in cards}
        self.files = self._read("files", "id", ids)
        keys = {claims["version_key"][0] for claims in self.files.values()} | {version_key_of(card) for card in cards}
        self.versions = self._read("versions", "key", keys)
        keys = {claims["model_key"][0] for claims in self.versions.values()} | {card.model_key for card in cards}
        self.models = self._read("models", "key", keys)

    def add(self, card: Card, digest: str) -> Change:
        """Merge a card into the rows."""
        key = (card.id, version_key_of(card))
        if self.digests.get(key, ("", ""))[0] == digest:
            return "unchanged"
        file_id, change = self._merge_file(card)
        for kind, value in _hashes(card):
            self.hashes.setdefault((kind, value), set()).add(file_id)
        self.digests[key] = (digest, file_id)
        self.written.add(file_id)
        return change

    def write(self) -> list[str]:
        """Write all rows; return the sorted ids of the files whose cards may have changed."""
        if not self.written:
            return []
        for old, new in self.renamed.items():
            self.conn.execute("UPDATE files SET id = %s WHERE id = %s", (new, old))
        self._write("models", "key", MODEL, self.models)
        self._write("versions", "key", VERSION, self.versions)
        self._write("files", "id", FILE, self.files)
        self._write_hashes()
        self._write_digests()
        self.conn.execute("UPDATE files SET retired = false WHERE id = ANY(%s) AND retired", (list(self.written),))
        self._delete_empty()
        rows = self.conn.execute(
            "UPDATE files SET stale = true FROM versions "
            "WHERE versions.key = version_key AND model_key = ANY(%s) RETURNING id",
            (list(self.models),),
        )
        return sorted(row[0] for row in rows)

    def _merge_file(self, card: Card) -> tuple[str, Change]:
        """Merge a card into the rows of its file, version and model."""
        own = version_key_of(card)
        claims = claims_of(card.model_copy(update={"version_key": own}), FILE, self.source)
        found = self._find(card)
        if found is None:
            claims["version_key"] = self._twin_version(card) or claims["version_key"]
            self.files[card.id] = claims
            self._merge_version(claims["version_key"][0], card, fill_only=False)
            return card.id, "taken"
        old = self.files[found]
        reupload = _is_reupload(old["version_key"], claims["version_key"])
        self.files[found] = merge(old, claims, fill_only=reupload)
        kept = self.files[found]["version_key"][0]
        self._move(old["version_key"][0], kept, card.model_key)
        self._merge_version(kept, card, fill_only=reupload)
        if reupload and card.model_key != (holder := self.versions[kept]["model_key"][0]):
            self.reuploads.append((card.model_key, holder))
        return self._rename(found), "updated" if old["version_key"][0] == own else "merged"

    def _merge_version(self, key: str, card: Card, *, fill_only: bool) -> None:
        claims = claims_of(card, VERSION, self.source)
        if key != version_key_of(card):
            del claims["model_key"]  # this version belongs to another model
        version = self.versions.get(key, {})
        self.versions[key] = merge(version, claims, fill_only=fill_only)
        model = self.versions[key]["model_key"][0]
        left = self.models.get(version["model_key"][0], {}) if version else {}
        known = merge(left, self.models.get(model, {}))
        self.models[model] = merge(known, claims_of(card, MODEL, self.source), fill_only=fill_only)

    def _move(self, old: str, new: str, model: str) -> None:
        """Carry over the claims of the version that a file leaves, and of its model."""
        if old == new:
            return
        left = dict(self.versions[old])
        left_model = self.models[left.pop("model_key")[0]]
        if new in self.versions:
            model = self.versions[new]["model_key"][0]
            self.versions[new] = merge(left, self.versions[new])
        else:
            self.versions[new] = {**left, "model_key": (model, self.source)}
        self.models[model] = merge(left_model, self.models.get(model, {}))

    def _find(self, card: Card) -> str | None:
        """Find the file that this card describes: by id, or by a hash that only one file has."""
        if card.id in self.files:
            return card.id
        for kind, value in _hashes(card):
            ids = self.hashes.get((kind, value), set()) if kind in IDENTITY else set()
            if kind != "sha256" and card.sha256:
                ids = {i for i in ids if "sha256" not in self.files[i]}
            if len(ids) == 1:
                return next(iter(ids))
        return None

    def _twin_version(self, card: Card) -> tuple[str, str] | None:
        """Find the site version of a new local file by its AutoV3: the same tensors, with an edited header."""
        twins = self.hashes.get(("autov3", card.aliases.get("autov3", "")), set())
        found = {self.files[i]["version_key"] for i in twins if i in self.files}
        found = {version for version in found if not is_local(version[0])}
        return found.pop() if is_local(version_key_of(card)) and len(found) == 1 else None

    def _rename(self, file_id: str) -> str:
        """Make the SHA-256 the file's id once it is known."""
        sha256: str = self.files[file_id].get("sha256", (file_id, ""))[0]
        if sha256 != file_id:
            self.files[sha256] = self.files.pop(file_id)
            self.renamed[file_id] = sha256
            for ids in self.hashes.values():
                if file_id in ids:
                    ids.remove(file_id)
                    ids.add(sha256)
        return sha256

    def _write_hashes(self) -> None:
        with self.conn.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO hashes (kind, value, file_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [(*key, i) for key, ids in self.hashes.items() for i in ids if i in self.written],
            )

    def _write_digests(self) -> None:
        with self.conn.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO source_digests (source, card_id, version_key, digest, file_id) "
                "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (source, card_id, version_key) "
                "DO UPDATE SET digest = EXCLUDED.digest, file_id = EXCLUDED.file_id",
                [(self.source, *key, digest, self.renamed.get(i, i)) for key, (digest, i) in self.digests.items()],
            )

    def _delete_empty(self) -> None:
        """Delete versions and models that have lost their last file."""
        self.conn.execute(
            "DELETE FROM versions WHERE key = ANY(%s) AND NOT EXISTS (SELECT FROM files WHERE version_key = key)",
            (list(self.versions),),
        )
        self.conn.execute(
            "DELETE FROM models WHERE key = ANY(%s) AND NOT EXISTS (SELECT FROM versions WHERE model_key = models.key)",
            (list(self.models),),
        )

    def _read(self, table: str, key: str, keys: set[str]) -> dict[str, Claims]:
        query = sql.SQL("SELECT * FROM {} WHERE {} = ANY(%s)").format(sql.Identifier(table), sql.Identifier(key))
        with self.conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(query, (list(keys),)).fetchall()
        return {row[key]: from_columns(row, row["provenance"]) for row in rows}

    def _write(self, table: str, key: str, level: dict[str, Any], records: dict[str, Claims]) -> None:
        columns = [key, *level, "provenance"]
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
            sql.Identifier(key),
            sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(c)) for c in columns[1:]),
        )
        with self.conn.cursor() as cursor:
            cursor.executemany(query, [_row(i, claims, level) for i, claims in records.items()])


def _row(key: str, claims: Claims, columns: dict[str, Any]) -> list[Any]:
    row, provenance = to_columns(claims, columns)
    values = [Jsonb(value) if column in JSON else value for column, value in row.items()]
    return [key, *values, Jsonb(provenance)]


def version_key_of(card: Card) -> str:
    """Return the key of a card's version; a file without one is its own version."""
    return card.version_key or card.id


def is_local(version_key: str) -> bool:
    """Say whether a version comes from a local file and not from a site."""
    return version_key.startswith("file-")


def _is_reupload(old: tuple[Any, str], new: tuple[Any, str]) -> bool:
    """Say whether two sources of equal authority give different versions: somebody uploaded the file again."""
    return bool(old[0] != new[0] and authority(old[1]) == authority(new[1]))


def _hashes(card: Card) -> list[tuple[str, str]]:
    """List a card's hashes, the most reliable first."""
    known: dict[str, str] = {kind: value.lower() for kind, value in card.aliases.items()}
    if card.sha256:
        known |= {"sha256": card.sha256, "autov2": card.sha256[:10]}
    order = [kind for kind in IDENTITY if kind in known] + [kind for kind in known if kind not in IDENTITY]
    return [(kind, known[kind]) for kind in order]
