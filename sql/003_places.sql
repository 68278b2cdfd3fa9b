-- Where files are. `file_hashes` remembers every path that was imported; `files.path` is the one that is used.

-- Its path holds something else now, and no source but that folder told of it: kept as history, left out of search.
ALTER TABLE files ADD COLUMN retired boolean NOT NULL DEFAULT false;

CREATE INDEX files_path_stem ON files (lower(regexp_replace(path, '^.*/|\.safetensors$', '', 'gi')));
CREATE INDEX file_hashes_sha256 ON file_hashes (sha256);

CREATE OR REPLACE VIEW cards AS
SELECT
    f.id, v.model_key, f.version_key, f.sha256,
    (SELECT coalesce(jsonb_object_agg(h.kind, h.value), '{}') FROM hashes h
      WHERE h.file_id = f.id AND h.kind <> 'sha256') AS aliases,
    m.name, v.version, v.description, m.tags, m.creator, v.base_model, v.family, m.kind, v.trigger_groups,
    v.weight, v.weight_source, v.weight_min, v.weight_max,
    m.credit_required, m.commercial, m.derivatives, m.different_licence, m.licence_name,
    m.nsfw_level, m.poi, m.minor, v.downloads, v.likes, v.rating, v.examples,
    f.file_name, f.file_size, f.path, v.created_at,
    m.provenance || v.provenance || f.provenance AS provenance,
    f.retired
FROM files f JOIN versions v ON v.key = f.version_key JOIN models m ON m.key = v.model_key;
