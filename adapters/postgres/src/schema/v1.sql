-- Sets of keys. `watched` ones have an order of changes: `revision` is the last, and the changes
-- up to `compacted` are no longer kept. Who changes a watched space holds its row to the end of
-- the transaction, so that revisions are committed in order and without gaps.
CREATE TABLE space (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    watched boolean NOT NULL,
    revision bigint NOT NULL DEFAULT 0,
    compacted bigint NOT NULL DEFAULT 0
);

-- What is stored. The parts of a key end with the byte 0. `version` is the number of the batch
-- that wrote it.
CREATE TABLE entry (
    space integer NOT NULL REFERENCES space (id),
    key bytea NOT NULL,
    version bigint NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (space, key)
);

-- The last changes of watched spaces; `version` and `value` are null where a key was deleted.
CREATE TABLE change (
    space integer NOT NULL REFERENCES space (id),
    revision bigint NOT NULL,
    position integer NOT NULL,
    key bytea NOT NULL,
    version bigint,
    value bytea,
    PRIMARY KEY (space, revision, position)
);

-- Numbers of batches: they never return, also not after a crash or an abort.
CREATE SEQUENCE batch_number;

-- What came of the last batches. `number` is null where a batch did not happen and never will.
-- `written` holds one letter for each operation: `w` if it wrote a key, else `-`. `revisions` is
-- a list of pairs: a watched space, and the revision that the batch made of it.
CREATE TABLE batch (
    id bytea PRIMARY KEY,
    number bigint,
    committed_at timestamptz NOT NULL DEFAULT now(),
    written text NOT NULL DEFAULT '',
    revisions jsonb NOT NULL DEFAULT '[]'
);
CREATE INDEX batch_by_age ON batch (committed_at);

-- `entry` and `change` for people: keys with a slash behind each part, values as text.
CREATE VIEW entries AS
SELECT
    space.name AS space,
    replace(encode(key, 'escape'), '\000', '/') AS key,
    version,
    encode(value, 'escape') AS value
FROM entry JOIN space ON space.id = entry.space;

CREATE VIEW changes AS
SELECT
    space.name AS space,
    change.revision AS revision,
    replace(encode(key, 'escape'), '\000', '/') AS key,
    CASE WHEN version IS NULL THEN 'deleted' ELSE 'written' END AS what,
    encode(value, 'escape') AS value
FROM change JOIN space ON space.id = change.space;
