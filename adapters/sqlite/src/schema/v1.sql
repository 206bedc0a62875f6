-- Sets of keys. `watched` ones have an order of changes: `revision` is the last, and the changes
-- up to `compacted` are no longer kept.
CREATE TABLE space (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    watched INTEGER NOT NULL CHECK (watched IN (0, 1)),
    revision INTEGER NOT NULL DEFAULT 0,
    compacted INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What is stored. The parts of a key end with the byte 0. `version` is the number of the batch
-- that wrote it.
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    space INTEGER NOT NULL REFERENCES space (id),
    key BLOB NOT NULL,
    version INTEGER NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (space, key)
) STRICT;

-- The last changes of watched spaces; `version` and `value` are null where a key was deleted.
CREATE TABLE change (
    space INTEGER NOT NULL REFERENCES space (id),
    revision INTEGER NOT NULL,
    position INTEGER NOT NULL,
    key BLOB NOT NULL,
    version INTEGER,
    value BLOB,
    PRIMARY KEY (space, revision, position)
) STRICT, WITHOUT ROWID;

-- The last batches that happened. `written` holds one letter for each operation: `w` if it wrote
-- a key, else `-`. `revisions` is a JSON list of pairs: a watched space, and the revision that the
-- batch made of it. The row of the last batch is never removed: it is where numbers go on.
CREATE TABLE batch (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    committed_at INTEGER NOT NULL, -- milliseconds since 1970
    written TEXT NOT NULL,
    revisions TEXT NOT NULL
) STRICT;

-- `entry` and `change` for people: keys with a slash behind each part, values as text.
CREATE VIEW entries AS
SELECT
    space.name AS space,
    (
        WITH RECURSIVE byte (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM byte WHERE i < length(key))
        SELECT group_concat(
            CASE substr(key, i, 1) WHEN x'00' THEN '/' ELSE CAST(substr(key, i, 1) AS TEXT) END, ''
        )
        FROM byte
    ) AS key,
    version,
    CAST(value AS TEXT) AS value
FROM entry JOIN space ON space.id = entry.space;

CREATE VIEW changes AS
SELECT
    space.name AS space,
    change.revision AS revision,
    (
        WITH RECURSIVE byte (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM byte WHERE i < length(key))
        SELECT group_concat(
            CASE substr(key, i, 1) WHEN x'00' THEN '/' ELSE CAST(substr(key, i, 1) AS TEXT) END, ''
        )
        FROM byte
    ) AS key,
    CASE WHEN version IS NULL THEN 'deleted' ELSE 'written' END AS what,
    CAST(value AS TEXT) AS value
FROM change JOIN space ON space.id = change.space;
