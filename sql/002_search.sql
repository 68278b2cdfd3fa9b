-- The search index: one document a model and family, made of its cards; rebuilt from the catalogue at any time.

-- Which embedder made the vectors. One row, written by the first import; two embedders are never mixed.
CREATE TABLE search_settings (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    embedder text NOT NULL,
    dim integer NOT NULL
);

CREATE TABLE search_documents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_key text NOT NULL REFERENCES models ON UPDATE CASCADE ON DELETE CASCADE,
    family text NOT NULL,
    kind text NOT NULL,
    safe boolean NOT NULL,               -- no real person, no minor, not blocked
    nsfw_level smallint NOT NULL,        -- its mildest picture: 1, 2, 4, 8 or 16
    commercial boolean NOT NULL,         -- the author said that pictures may be sold
    strict boolean NOT NULL,             -- and asks for no credit, and allows derivatives
    installed boolean NOT NULL,
    creator integer NOT NULL,            -- a hash of the name; 0 if nobody said
    downloads bigint NOT NULL,
    keys integer[] NOT NULL,             -- what it says: hashes of (word, how much it says it), see tools/search/document.py
    summary text NOT NULL,               -- a line for whoever chooses
    body bytea NOT NULL,                 -- its fields as token numbers, see tools/search/document.py
    vector halfvec NOT NULL,
    UNIQUE (model_key, family)
);
CREATE INDEX search_documents_keys ON search_documents USING gin (keys);
CREATE INDEX search_documents_creator ON search_documents (creator);

-- Exact search by meaning reads every row: keys, which no query reads, and the body are kept out of line.
ALTER TABLE search_documents SET (toast_tuple_target = 1024);
ALTER TABLE search_documents
    ALTER COLUMN vector SET STORAGE PLAIN,
    ALTER COLUMN keys SET STORAGE EXTERNAL,
    ALTER COLUMN body SET STORAGE EXTERNAL;

-- In how many documents each key stands: document frequencies for BM25, and which keys are cheap to look up.
-- Key 0 counts the documents.
CREATE TABLE search_keys (
    key integer PRIMARY KEY,
    documents integer NOT NULL
);
