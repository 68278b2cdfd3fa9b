-- A candidate's summary is made of its card: the documents hold none.
ALTER TABLE search_documents DROP COLUMN IF EXISTS summary;
