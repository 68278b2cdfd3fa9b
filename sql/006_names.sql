-- What each adapter goes by: a prompt that says one of these names asks for it, whatever else it says.
CREATE TABLE search_names (
    key bigint NOT NULL,                 -- a hash of the name's words, see tools/search/names.py
    source text NOT NULL,                -- name, trigger, part (a rare word of a longer name) or tag
    model_key text NOT NULL,
    family text NOT NULL,
    FOREIGN KEY (model_key, family) REFERENCES search_documents (model_key, family) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX search_names_key ON search_names (key);
CREATE INDEX search_names_model_key ON search_names (model_key, family);
