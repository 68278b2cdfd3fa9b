-- What each source last stated about a card, as a digest: a card that is unchanged is not merged again.
ALTER TABLE tellings RENAME TO source_digests;
ALTER TABLE source_digests RENAME COLUMN told_id TO card_id;
ALTER TABLE source_digests RENAME CONSTRAINT tellings_pkey TO source_digests_pkey;
ALTER TABLE source_digests RENAME CONSTRAINT tellings_file_id_fkey TO source_digests_file_id_fkey;
ALTER INDEX tellings_file_id RENAME TO source_digests_file_id;
