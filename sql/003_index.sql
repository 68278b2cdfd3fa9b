-- Document frequencies that cannot drift, and an index that knows which form it has.

-- What was written before is read differently now. The index is derived: the next search or import writes it anew.
DELETE FROM search_documents;
DELETE FROM search_keys;
UPDATE files SET stale = true;

ALTER TABLE search_settings
    ADD COLUMN format integer NOT NULL DEFAULT 0,         -- FORMAT in tools/search/document.py when it was begun
    ADD COLUMN complete boolean NOT NULL DEFAULT false;   -- every card has been indexed in this format

-- Names and trigger words with a letter dropped, for near spellings. They are not counted.
ALTER TABLE search_documents ADD COLUMN forms integer[] NOT NULL;
ALTER TABLE search_documents ALTER COLUMN forms SET STORAGE EXTERNAL;
CREATE INDEX search_documents_forms ON search_documents USING gin (forms);

-- The database counts, so that the numbers follow the documents however these come and go (cascades too). A document's
-- keys are never updated. In the order of the keys: two writers must not wait for each other.
CREATE FUNCTION count_search_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO search_keys AS counted (key, documents)
    SELECT key, CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END * count(*)
    FROM changed, unnest(keys || 0) AS key GROUP BY key ORDER BY key
    ON CONFLICT (key) DO UPDATE SET documents = counted.documents + excluded.documents;
    RETURN NULL;
END $$;
CREATE TRIGGER search_documents_came AFTER INSERT ON search_documents REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_search_keys();
CREATE TRIGGER search_documents_went AFTER DELETE ON search_documents REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_search_keys();
