-- The catalogue: models have versions, versions have files; a file is an adapter, known by its SHA-256.
-- Provenance: {"column": "source that told it"}, a row at a time; the store decides by it which source wins.
-- Columns bear the names of the card's fields (tools/card.py).

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE models (
    key text PRIMARY KEY,                    -- <source>-<model id>
    name text NOT NULL,
    kind text NOT NULL,
    tags text[] NOT NULL,
    creator text NOT NULL,
    credit_required boolean,                 -- null in a licence column: nobody said
    commercial text[],                       -- of image, rentcivit, rent, sell
    derivatives boolean,
    different_licence boolean,
    licence_name text,
    poi boolean NOT NULL,                    -- shows a real person
    minor boolean NOT NULL,
    nsfw_level smallint NOT NULL,            -- bitmask of its pictures: 1 PG, 2 PG-13, 4 R, 8 X, 16 XXX, 32 blocked
    provenance jsonb NOT NULL
);
CREATE INDEX models_name ON models (lower(name));

CREATE TABLE versions (
    key text PRIMARY KEY,                    -- <source>-<version id>
    model_key text NOT NULL REFERENCES models ON UPDATE CASCADE,
    version text NOT NULL,                   -- its name
    description text NOT NULL,               -- plain text
    base_model text NOT NULL,                -- as its author wrote it
    family text NOT NULL,
    trigger_groups jsonb NOT NULL,           -- [["a", "b"], ["c"]]: alternatives
    weight double precision,
    weight_source text,
    weight_min double precision,
    weight_max double precision,
    downloads bigint NOT NULL,
    likes bigint NOT NULL,
    rating double precision NOT NULL,
    examples jsonb NOT NULL,                 -- [{"prompt": ..., "weight": ...}]
    created_at text,                         -- ISO 8601, as the source wrote it
    provenance jsonb NOT NULL
);
CREATE INDEX versions_model_key ON versions (model_key);

CREATE TABLE files (
    id text PRIMARY KEY,                     -- SHA-256 in hex; while nobody knows it, the version's key
    version_key text NOT NULL REFERENCES versions ON UPDATE CASCADE,
    sha256 text UNIQUE,
    file_name text NOT NULL,
    file_size bigint,                        -- bytes
    path text,                               -- where it is installed on this machine
    stale boolean NOT NULL DEFAULT true,     -- its card has changed since it was indexed for search
    provenance jsonb NOT NULL
);
CREATE INDEX files_version_key ON files (version_key);
CREATE INDEX files_stale ON files (id) WHERE stale;
CREATE INDEX files_stem ON files (lower(regexp_replace(file_name, '\.safetensors$', '', 'i')));

-- Every hash a file is known by, lower-case hex. sha256 and autov2 (its first ten digits) are here too.
CREATE TABLE hashes (
    value text NOT NULL COLLATE "C",
    kind text NOT NULL,
    file_id text NOT NULL REFERENCES files ON UPDATE CASCADE ON DELETE CASCADE,
    PRIMARY KEY (value, kind, file_id)
);
CREATE INDEX hashes_file_id ON hashes (file_id);

-- What each source last said of a card, as a digest: an unchanged card is skipped without being merged again.
CREATE TABLE tellings (
    source text NOT NULL,
    told_id text NOT NULL,
    version_key text NOT NULL,
    digest text NOT NULL,
    file_id text NOT NULL REFERENCES files ON UPDATE CASCADE ON DELETE CASCADE,
    PRIMARY KEY (source, told_id, version_key)
);
CREATE INDEX tellings_file_id ON tellings (file_id);

-- Hashes of files on this machine, so that an unchanged file is not read again.
CREATE TABLE file_hashes (
    path text PRIMARY KEY,
    size bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    inode numeric NOT NULL,
    sha256 text NOT NULL,
    autov3 text NOT NULL
);

-- A card as tools/card.py has it, one row a file.
CREATE VIEW cards AS
SELECT
    f.id, v.model_key, f.version_key, f.sha256,
    (SELECT coalesce(jsonb_object_agg(h.kind, h.value), '{}') FROM hashes h
      WHERE h.file_id = f.id AND h.kind <> 'sha256') AS aliases,
    m.name, v.version, v.description, m.tags, m.creator, v.base_model, v.family, m.kind, v.trigger_groups,
    v.weight, v.weight_source, v.weight_min, v.weight_max,
    m.credit_required, m.commercial, m.derivatives, m.different_licence, m.licence_name,
    m.nsfw_level, m.poi, m.minor, v.downloads, v.likes, v.rating, v.examples,
    f.file_name, f.file_size, f.path, v.created_at,
    m.provenance || v.provenance || f.provenance AS provenance
FROM files f JOIN versions v ON v.key = f.version_key JOIN models m ON m.key = v.model_key;
