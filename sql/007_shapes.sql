-- The families whose bases have modules of a file's names and sizes: what a source states must be one of them.
ALTER TABLE versions ADD COLUMN shapes text[] NOT NULL DEFAULT '{}';
UPDATE versions SET shapes = ARRAY[family] WHERE provenance ->> 'family' = 'tensors';

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
    f.retired, v.shapes
FROM files f JOIN versions v ON v.key = f.version_key JOIN models m ON m.key = v.model_key;
