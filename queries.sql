-- Every statement as PostgreSQL gets it, with each %(name)s as a parameter. Written by: make sql

-- CHANGES
WITH
    owner AS (
        SELECT users.changed_at AS changed_at, users.known_since AS known_since
        FROM users
        WHERE users.id = %(owner)s::VARCHAR
    ),
    found AS (
        SELECT "both".moment AS moment, "both".id AS id, "both".gone AS gone
        FROM
            (
                SELECT tasks.updated_at AS moment, tasks.id AS id, false AS gone
                FROM tasks
                WHERE
                    tasks.user_id = %(owner)s::VARCHAR
                    AND ((SELECT owner.changed_at FROM owner), 9223372036854775807)
                    > (coalesce(%(since)s::TIMESTAMP WITH TIME ZONE, '-infinity'), %(after_id)s::BIGINT)
                    AND (tasks.updated_at, tasks.id)
                    > (coalesce(%(since)s::TIMESTAMP WITH TIME ZONE, '-infinity'), %(after_id)s::BIGINT)
                UNION ALL
                SELECT deletions.deleted_at AS moment, deletions.id AS id, true AS gone
                FROM deletions
                WHERE
                    deletions.user_id = %(owner)s::VARCHAR
                    AND ((SELECT owner.changed_at FROM owner), 9223372036854775807)
                    > (coalesce(%(since)s::TIMESTAMP WITH TIME ZONE, '-infinity'), %(after_id)s::BIGINT)
                    AND (deletions.deleted_at, deletions.id)
                    > (coalesce(%(since)s::TIMESTAMP WITH TIME ZONE, '-infinity'), %(after_id)s::BIGINT)
            ) AS "both"
        ORDER BY "both".moment, "both".id
        LIMIT %(page_size)s::BIGINT + 1
    ),
    page AS (SELECT found.moment AS moment, found.id AS id, found.gone AS gone FROM found LIMIT %(page_size)s::BIGINT),
    task AS (
        SELECT
            tasks.id AS id,
            tasks.user_id AS user_id,
            tasks.title AS title,
            tasks.description AS description,
            tasks.completed AS completed,
            to_char(timezone('UTC', tasks.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
        FROM tasks
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND tasks.id
            = ANY(CAST((SELECT array_agg(page.id) AS array_agg_1 FROM page WHERE NOT page.gone) AS BIGINT[]))
        ORDER BY tasks.updated_at, tasks.id
    )
SELECT
    (SELECT concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']') AS concat_1 FROM task) AS changed,
    (SELECT concat('[', string_agg(CAST(page.id AS TEXT), ','), ']') AS concat_2 FROM page WHERE page.gone) AS deleted,
    CASE
        WHEN ((SELECT count(*) AS count_1 FROM found) > %(page_size)s::BIGINT)
        THEN
            (
                SELECT
                    CAST(
                        json_build_array(
                            to_char(timezone('UTC', found.moment), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), found.id
                        ) AS TEXT
                    ) AS json_build_array_1
                FROM found
                LIMIT 1
                OFFSET %(page_size)s::BIGINT - 1
            )
    END AS position,
    to_char(timezone('UTC', (SELECT owner.changed_at FROM owner)), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS version,
    %(since)s::TIMESTAMP WITH TIME ZONE IS NULL
    OR coalesce(
        (
            SELECT
                (coalesce(%(since)s::TIMESTAMP WITH TIME ZONE, '-infinity'), %(after_id)s::BIGINT)
                >= (owner.known_since, 9223372036854775807)
                AND %(since)s::TIMESTAMP WITH TIME ZONE <= owner.changed_at AS anon_1
            FROM owner
        ),
        false
    ) AS known;

-- SNAPSHOT
WITH
    found AS (
        SELECT
            tasks.id AS id,
            tasks.user_id AS user_id,
            tasks.title AS title,
            tasks.description AS description,
            tasks.completed AS completed,
            to_char(timezone('UTC', tasks.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
        FROM tasks
        WHERE tasks.user_id = %(owner)s::VARCHAR AND tasks.id > %(after_id)s::BIGINT
        ORDER BY tasks.id
        LIMIT %(page_size)s::BIGINT + 1
    ),
    task AS (
        SELECT
            found.id AS id,
            found.user_id AS user_id,
            found.title AS title,
            found.description AS description,
            found.completed AS completed,
            found.created_at AS created_at,
            found.updated_at AS updated_at
        FROM found
        LIMIT %(page_size)s::BIGINT
    ),
    owner AS (
        SELECT users.changed_at AS changed_at, users.known_since AS known_since
        FROM users
        WHERE users.id = %(owner)s::VARCHAR
    )
SELECT
    (SELECT concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']') AS concat_1 FROM task) AS changed,
    '[]' AS deleted,
    CASE
        WHEN ((SELECT count(*) AS count_1 FROM found) > %(page_size)s::BIGINT)
        THEN
            (
                SELECT
                    CAST(
                        json_build_array(
                            to_char(
                                timezone(
                                    'UTC',
                                    coalesce(%(since)s::TIMESTAMP WITH TIME ZONE, (SELECT owner.changed_at FROM owner))
                                ),
                                'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'
                            ),
                            found.id
                        ) AS TEXT
                    ) AS json_build_array_1
                FROM found
                LIMIT 1
                OFFSET %(page_size)s::BIGINT - 1
            )
    END AS position,
    to_char(timezone('UTC', (SELECT owner.changed_at FROM owner)), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS version,
    %(since)s::TIMESTAMP WITH TIME ZONE IS NULL
    OR coalesce(
        (
            SELECT
                %(since)s::TIMESTAMP WITH TIME ZONE >= owner.known_since
                AND %(since)s::TIMESTAMP WITH TIME ZONE <= owner.changed_at AS anon_1
            FROM owner
        ),
        false
    ) AS known;

-- VERSIONS
SELECT
    CAST(
        json_object_agg(users.id, to_char(timezone('UTC', users.changed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS TEXT
    ) AS versions
FROM users
WHERE users.id = ANY(%(owners)s::TEXT[]);

-- CLEAR_EXPIRED_KEYS
-- param_1 = 1
-- param_2 = 1000
-- coalesce_1 = 0
-- coalesce_2 = 4194304
WITH
    "old" AS (
        SELECT
            idempotency_keys.user_id AS user_id,
            idempotency_keys.key AS key,
            pg_column_size(idempotency_keys.response) AS bytes
        FROM idempotency_keys
        WHERE idempotency_keys.created_at < now() - interval '24 hours'
        LIMIT %(param_2)s::INTEGER
    ),
    sizes AS (
        SELECT
            "old".user_id AS user_id,
            "old".key AS key,
            "old".bytes AS bytes,
            sum("old".bytes) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND %(param_1)s::INTEGER PRECEDING) AS before
        FROM "old"
    ),
    few AS (
        SELECT sizes.user_id AS user_id, sizes.key AS key
        FROM sizes
        WHERE coalesce(sizes.before, %(coalesce_1)s::INTEGER) < %(coalesce_2)s::INTEGER
    ),
    cleared AS (
        DELETE FROM idempotency_keys
        USING few
        WHERE
            idempotency_keys.created_at < now() - interval '24 hours'
            AND idempotency_keys.user_id = few.user_id
            AND idempotency_keys.key = few.key
        RETURNING idempotency_keys.key
    )
SELECT count(*) AS number
FROM cleared;

-- FORGET_DELETIONS
-- param_1 = 1000
WITH
    aged AS (
        SELECT deletions.user_id AS user_id, deletions.deleted_at AS deleted_at, deletions.id AS id
        FROM deletions
        WHERE deletions.deleted_at < now() - interval '30 days'
        LIMIT %(param_1)s::INTEGER
    ),
    newest AS (SELECT aged.user_id AS user_id, max(aged.deleted_at) AS moment FROM aged GROUP BY aged.user_id),
    taken AS (
        SELECT users.id AS id
        FROM users
        WHERE users.id IN (SELECT newest.user_id FROM newest)
        FOR NO KEY UPDATE SKIP LOCKED
    ),
    raised AS (
        UPDATE users SET known_since = greatest(users.known_since, newest.moment)
        FROM newest
        WHERE users.id = newest.user_id AND users.id IN (SELECT taken.id FROM taken)
        RETURNING users.id
    ),
    forgotten AS (
        DELETE FROM deletions
        WHERE
            deletions.user_id IN (SELECT raised.id FROM raised)
            AND (deletions.user_id, deletions.deleted_at, deletions.id)
            IN (SELECT aged.user_id, aged.deleted_at, aged.id FROM aged)
        RETURNING deletions.id
    )
SELECT count(*) AS number
FROM forgotten;

-- FORGET_DELETIONS.on_citus
-- param_1 = 1000
WITH
    aged AS (
        SELECT deletions.user_id AS user_id, deletions.deleted_at AS deleted_at, deletions.id AS id
        FROM deletions
        WHERE deletions.deleted_at < now() - interval '30 days'
        LIMIT %(param_1)s::INTEGER
    ),
    newest AS (SELECT aged.user_id AS user_id, max(aged.deleted_at) AS moment FROM aged GROUP BY aged.user_id),
    taken AS (SELECT users.id AS id FROM users WHERE users.id IN (SELECT newest.user_id FROM newest)),
    raised AS (
        UPDATE users SET known_since = greatest(users.known_since, newest.moment)
        FROM newest
        WHERE users.id = newest.user_id AND users.id IN (SELECT taken.id FROM taken)
        RETURNING users.id
    ),
    forgotten AS (
        DELETE FROM deletions
        WHERE
            deletions.user_id IN (SELECT raised.id FROM raised)
            AND (deletions.user_id, deletions.deleted_at, deletions.id)
            IN (SELECT aged.user_id, aged.deleted_at, aged.id FROM aged)
        RETURNING deletions.id
    )
SELECT count(*) AS number
FROM forgotten;

-- READY
SELECT 1 AS number;

-- GET
WITH
    task AS (
        SELECT
            tasks.id AS id,
            tasks.user_id AS user_id,
            tasks.title AS title,
            tasks.description AS description,
            tasks.completed AS completed,
            to_char(timezone('UTC', tasks.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
        FROM tasks
        WHERE tasks.user_id = %(owner)s::VARCHAR AND tasks.id = %(task_id)s::BIGINT
    )
SELECT (SELECT CAST(row_to_json(task) AS TEXT) AS row_to_json_1 FROM task) AS body;

-- LIST["created_at"]
WITH
    found AS (
        SELECT
            tasks.id AS id,
            tasks.user_id AS user_id,
            tasks.title AS title,
            tasks.description AS description,
            tasks.completed AS completed,
            to_char(timezone('UTC', tasks.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
            json_build_array(tasks.id) AS position
        FROM tasks
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND (
                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
            )
            AND (
                %(only_q)s::VARCHAR IS NULL
                OR coalesce(
                    strpos(lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)) > 0
                    OR strpos(lower(tasks.description COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8))
                    > 0,
                    false
                )
            )
            AND tasks.id > coalesce(%(after_id)s::BIGINT, 0)
        ORDER BY tasks.id
        LIMIT %(page_size)s::BIGINT + 1
    ),
    task AS (
        SELECT
            found.id AS id,
            found.user_id AS user_id,
            found.title AS title,
            found.description AS description,
            found.completed AS completed,
            found.created_at AS created_at,
            found.updated_at AS updated_at
        FROM found
        LIMIT %(page_size)s::BIGINT
    )
SELECT
    (SELECT concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']') AS concat_1 FROM task) AS body,
    CASE
        WHEN ((SELECT count(*) AS count_1 FROM found) > %(page_size)s::BIGINT)
        THEN (SELECT CAST(found.position AS TEXT) AS position FROM found LIMIT 1 OFFSET %(page_size)s::BIGINT - 1)
    END AS next,
    CASE
        WHEN CAST(%(count)s AS BOOLEAN)
        THEN
            CASE
                WHEN (CAST(%(only_completed)s AS BOOLEAN) IS NULL AND %(only_q)s::VARCHAR IS NULL)
                THEN coalesce((SELECT users.task_count FROM users WHERE users.id = %(owner)s::VARCHAR), 0)
                ELSE
                    (
                        SELECT count(*) AS count_2
                        FROM tasks
                        WHERE
                            tasks.user_id = %(owner)s::VARCHAR
                            AND (
                                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
                            )
                            AND (
                                %(only_q)s::VARCHAR IS NULL
                                OR coalesce(
                                    strpos(
                                        lower(tasks.title COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0
                                    OR strpos(
                                        lower(tasks.description COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0,
                                    false
                                )
                            )
                    )
            END
    END AS total;

-- LIST["-created_at"]
WITH
    found AS (
        SELECT
            tasks.id AS id,
            tasks.user_id AS user_id,
            tasks.title AS title,
            tasks.description AS description,
            tasks.completed AS completed,
            to_char(timezone('UTC', tasks.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
            json_build_array(tasks.id) AS position
        FROM tasks
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND (
                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
            )
            AND (
                %(only_q)s::VARCHAR IS NULL
                OR coalesce(
                    strpos(lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)) > 0
                    OR strpos(lower(tasks.description COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8))
                    > 0,
                    false
                )
            )
            AND tasks.id < coalesce(%(after_id)s::BIGINT, 9223372036854775807)
        ORDER BY tasks.id DESC
        LIMIT %(page_size)s::BIGINT + 1
    ),
    task AS (
        SELECT
            found.id AS id,
            found.user_id AS user_id,
            found.title AS title,
            found.description AS description,
            found.completed AS completed,
            found.created_at AS created_at,
            found.updated_at AS updated_at
        FROM found
        LIMIT %(page_size)s::BIGINT
    )
SELECT
    (SELECT concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']') AS concat_1 FROM task) AS body,
    CASE
        WHEN ((SELECT count(*) AS count_1 FROM found) > %(page_size)s::BIGINT)
        THEN (SELECT CAST(found.position AS TEXT) AS position FROM found LIMIT 1 OFFSET %(page_size)s::BIGINT - 1)
    END AS next,
    CASE
        WHEN CAST(%(count)s AS BOOLEAN)
        THEN
            CASE
                WHEN (CAST(%(only_completed)s AS BOOLEAN) IS NULL AND %(only_q)s::VARCHAR IS NULL)
                THEN coalesce((SELECT users.task_count FROM users WHERE users.id = %(owner)s::VARCHAR), 0)
                ELSE
                    (
                        SELECT count(*) AS count_2
                        FROM tasks
                        WHERE
                            tasks.user_id = %(owner)s::VARCHAR
                            AND (
                                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
                            )
                            AND (
                                %(only_q)s::VARCHAR IS NULL
                                OR coalesce(
                                    strpos(
                                        lower(tasks.title COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0
                                    OR strpos(
                                        lower(tasks.description COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0,
                                    false
                                )
                            )
                    )
            END
    END AS total;

-- LIST["updated_at"]
WITH
    found AS (
        SELECT
            tasks.id AS id,
            tasks.user_id AS user_id,
            tasks.title AS title,
            tasks.description AS description,
            tasks.completed AS completed,
            to_char(timezone('UTC', tasks.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
            json_build_array(
                tasks.id, to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            ) AS position
        FROM tasks
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND (
                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
            )
            AND (
                %(only_q)s::VARCHAR IS NULL
                OR coalesce(
                    strpos(lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)) > 0
                    OR strpos(lower(tasks.description COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8))
                    > 0,
                    false
                )
            )
            AND (
                %(after_id)s::BIGINT IS NULL
                OR (tasks.updated_at, tasks.id)
                > (CAST(%(after_key)s::VARCHAR AS TIMESTAMP WITH TIME ZONE), %(after_id)s::BIGINT)
            )
        ORDER BY tasks.updated_at, tasks.id
        LIMIT %(page_size)s::BIGINT + 1
    ),
    task AS (
        SELECT
            found.id AS id,
            found.user_id AS user_id,
            found.title AS title,
            found.description AS description,
            found.completed AS completed,
            found.created_at AS created_at,
            found.updated_at AS updated_at
        FROM found
        LIMIT %(page_size)s::BIGINT
    )
SELECT
    (SELECT concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']') AS concat_1 FROM task) AS body,
    CASE
        WHEN ((SELECT count(*) AS count_1 FROM found) > %(page_size)s::BIGINT)
        THEN (SELECT CAST(found.position AS TEXT) AS position FROM found LIMIT 1 OFFSET %(page_size)s::BIGINT - 1)
    END AS next,
    CASE
        WHEN CAST(%(count)s AS BOOLEAN)
        THEN
            CASE
                WHEN (CAST(%(only_completed)s AS BOOLEAN) IS NULL AND %(only_q)s::VARCHAR IS NULL)
                THEN coalesce((SELECT users.task_count FROM users WHERE users.id = %(owner)s::VARCHAR), 0)
                ELSE
                    (
                        SELECT count(*) AS count_2
                        FROM tasks
                        WHERE
                            tasks.user_id = %(owner)s::VARCHAR
                            AND (
                                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
                            )
                            AND (
                                %(only_q)s::VARCHAR IS NULL
                                OR coalesce(
                                    strpos(
                                        lower(tasks.title COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0
                                    OR strpos(
                                        lower(tasks.description COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0,
                                    false
                                )
                            )
                    )
            END
    END AS total;

-- LIST["-updated_at"]
WITH
    found AS (
        SELECT
            tasks.id AS id,
            tasks.user_id AS user_id,
            tasks.title AS title,
            tasks.description AS description,
            tasks.completed AS completed,
            to_char(timezone('UTC', tasks.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
            json_build_array(
                tasks.id, to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            ) AS position
        FROM tasks
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND (
                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
            )
            AND (
                %(only_q)s::VARCHAR IS NULL
                OR coalesce(
                    strpos(lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)) > 0
                    OR strpos(lower(tasks.description COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8))
                    > 0,
                    false
                )
            )
            AND (
                %(after_id)s::BIGINT IS NULL
                OR (tasks.updated_at, tasks.id)
                < (CAST(%(after_key)s::VARCHAR AS TIMESTAMP WITH TIME ZONE), %(after_id)s::BIGINT)
            )
        ORDER BY tasks.updated_at DESC, tasks.id DESC
        LIMIT %(page_size)s::BIGINT + 1
    ),
    task AS (
        SELECT
            found.id AS id,
            found.user_id AS user_id,
            found.title AS title,
            found.description AS description,
            found.completed AS completed,
            found.created_at AS created_at,
            found.updated_at AS updated_at
        FROM found
        LIMIT %(page_size)s::BIGINT
    )
SELECT
    (SELECT concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']') AS concat_1 FROM task) AS body,
    CASE
        WHEN ((SELECT count(*) AS count_1 FROM found) > %(page_size)s::BIGINT)
        THEN (SELECT CAST(found.position AS TEXT) AS position FROM found LIMIT 1 OFFSET %(page_size)s::BIGINT - 1)
    END AS next,
    CASE
        WHEN CAST(%(count)s AS BOOLEAN)
        THEN
            CASE
                WHEN (CAST(%(only_completed)s AS BOOLEAN) IS NULL AND %(only_q)s::VARCHAR IS NULL)
                THEN coalesce((SELECT users.task_count FROM users WHERE users.id = %(owner)s::VARCHAR), 0)
                ELSE
                    (
                        SELECT count(*) AS count_2
                        FROM tasks
                        WHERE
                            tasks.user_id = %(owner)s::VARCHAR
                            AND (
                                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
                            )
                            AND (
                                %(only_q)s::VARCHAR IS NULL
                                OR coalesce(
                                    strpos(
                                        lower(tasks.title COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0
                                    OR strpos(
                                        lower(tasks.description COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0,
                                    false
                                )
                            )
                    )
            END
    END AS total;

-- LIST["title"]
WITH
    found AS (
        SELECT
            tasks.id AS id,
            tasks.user_id AS user_id,
            tasks.title AS title,
            tasks.description AS description,
            tasks.completed AS completed,
            to_char(timezone('UTC', tasks.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
            json_build_array(tasks.id, lower(tasks.title COLLATE pg_c_utf8)) AS position
        FROM tasks
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND (
                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
            )
            AND (
                %(only_q)s::VARCHAR IS NULL
                OR coalesce(
                    strpos(lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)) > 0
                    OR strpos(lower(tasks.description COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8))
                    > 0,
                    false
                )
            )
            AND (
                %(after_id)s::BIGINT IS NULL
                OR (lower(tasks.title COLLATE pg_c_utf8), tasks.id)
                > (%(after_key)s::VARCHAR COLLATE pg_c_utf8, %(after_id)s::BIGINT)
            )
        ORDER BY lower(tasks.title COLLATE pg_c_utf8), tasks.id
        LIMIT %(page_size)s::BIGINT + 1
    ),
    task AS (
        SELECT
            found.id AS id,
            found.user_id AS user_id,
            found.title AS title,
            found.description AS description,
            found.completed AS completed,
            found.created_at AS created_at,
            found.updated_at AS updated_at
        FROM found
        LIMIT %(page_size)s::BIGINT
    )
SELECT
    (SELECT concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']') AS concat_1 FROM task) AS body,
    CASE
        WHEN ((SELECT count(*) AS count_1 FROM found) > %(page_size)s::BIGINT)
        THEN (SELECT CAST(found.position AS TEXT) AS position FROM found LIMIT 1 OFFSET %(page_size)s::BIGINT - 1)
    END AS next,
    CASE
        WHEN CAST(%(count)s AS BOOLEAN)
        THEN
            CASE
                WHEN (CAST(%(only_completed)s AS BOOLEAN) IS NULL AND %(only_q)s::VARCHAR IS NULL)
                THEN coalesce((SELECT users.task_count FROM users WHERE users.id = %(owner)s::VARCHAR), 0)
                ELSE
                    (
                        SELECT count(*) AS count_2
                        FROM tasks
                        WHERE
                            tasks.user_id = %(owner)s::VARCHAR
                            AND (
                                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
                            )
                            AND (
                                %(only_q)s::VARCHAR IS NULL
                                OR coalesce(
                                    strpos(
                                        lower(tasks.title COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0
                                    OR strpos(
                                        lower(tasks.description COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0,
                                    false
                                )
                            )
                    )
            END
    END AS total;

-- LIST["-title"]
WITH
    found AS (
        SELECT
            tasks.id AS id,
            tasks.user_id AS user_id,
            tasks.title AS title,
            tasks.description AS description,
            tasks.completed AS completed,
            to_char(timezone('UTC', tasks.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', tasks.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at,
            json_build_array(tasks.id, lower(tasks.title COLLATE pg_c_utf8)) AS position
        FROM tasks
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND (
                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
            )
            AND (
                %(only_q)s::VARCHAR IS NULL
                OR coalesce(
                    strpos(lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)) > 0
                    OR strpos(lower(tasks.description COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8))
                    > 0,
                    false
                )
            )
            AND (
                %(after_id)s::BIGINT IS NULL
                OR (lower(tasks.title COLLATE pg_c_utf8), tasks.id)
                < (%(after_key)s::VARCHAR COLLATE pg_c_utf8, %(after_id)s::BIGINT)
            )
        ORDER BY lower(tasks.title COLLATE pg_c_utf8) DESC, tasks.id DESC
        LIMIT %(page_size)s::BIGINT + 1
    ),
    task AS (
        SELECT
            found.id AS id,
            found.user_id AS user_id,
            found.title AS title,
            found.description AS description,
            found.completed AS completed,
            found.created_at AS created_at,
            found.updated_at AS updated_at
        FROM found
        LIMIT %(page_size)s::BIGINT
    )
SELECT
    (SELECT concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']') AS concat_1 FROM task) AS body,
    CASE
        WHEN ((SELECT count(*) AS count_1 FROM found) > %(page_size)s::BIGINT)
        THEN (SELECT CAST(found.position AS TEXT) AS position FROM found LIMIT 1 OFFSET %(page_size)s::BIGINT - 1)
    END AS next,
    CASE
        WHEN CAST(%(count)s AS BOOLEAN)
        THEN
            CASE
                WHEN (CAST(%(only_completed)s AS BOOLEAN) IS NULL AND %(only_q)s::VARCHAR IS NULL)
                THEN coalesce((SELECT users.task_count FROM users WHERE users.id = %(owner)s::VARCHAR), 0)
                ELSE
                    (
                        SELECT count(*) AS count_2
                        FROM tasks
                        WHERE
                            tasks.user_id = %(owner)s::VARCHAR
                            AND (
                                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
                            )
                            AND (
                                %(only_q)s::VARCHAR IS NULL
                                OR coalesce(
                                    strpos(
                                        lower(tasks.title COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0
                                    OR strpos(
                                        lower(tasks.description COLLATE pg_c_utf8),
                                        lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                    )
                                    > 0,
                                    false
                                )
                            )
                    )
            END
    END AS total;

-- COMPLETE
WITH
    stamp AS (
        UPDATE users SET changed_at
        = greatest(now(), timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond'))
        WHERE
            users.id = %(owner)s::VARCHAR
            AND (
                EXISTS (
                    SELECT *
                    FROM tasks
                    WHERE
                        tasks.user_id = %(owner)s::VARCHAR
                        AND tasks.id = %(task_id)s::BIGINT
                        AND (
                            %(if_match)s::TIMESTAMP WITH TIME ZONE[] IS NULL
                            OR coalesce(tasks.updated_at = ANY(%(if_match)s::TIMESTAMP WITH TIME ZONE[]), false)
                        )
                )
            )
        RETURNING users.id, users.changed_at
    ),
    changed AS (
        UPDATE tasks SET completed = coalesce(CAST(%(wanted)s AS BOOLEAN), NOT tasks.completed),
        updated_at = stamp.changed_at
        FROM stamp
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND tasks.id = %(task_id)s::BIGINT
            AND (
                %(if_match)s::TIMESTAMP WITH TIME ZONE[] IS NULL
                OR coalesce(tasks.updated_at = ANY(%(if_match)s::TIMESTAMP WITH TIME ZONE[]), false)
            )
            AND tasks.user_id = stamp.id
        RETURNING
            tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, tasks.created_at, tasks.updated_at
    ),
    task AS (
        SELECT
            changed.id AS id,
            changed.user_id AS user_id,
            changed.title AS title,
            changed.description AS description,
            changed.completed AS completed,
            to_char(timezone('UTC', changed.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', changed.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
        FROM changed
    )
SELECT
    (SELECT CAST(row_to_json(task) AS TEXT) AS row_to_json_1 FROM task) AS body,
    EXISTS (SELECT * FROM tasks WHERE tasks.user_id = %(owner)s::VARCHAR AND tasks.id = %(task_id)s::BIGINT) AS found;

-- CREATE
WITH
    stamp AS (
        INSERT INTO users(id, changed_at, known_since, task_count)
        SELECT
            %(owner)s::VARCHAR AS id,
            timezone('UTC', timezone('UTC', now()) + interval '1 microsecond') AS changed_at,
            now() AS known_since,
            json_array_length(CAST(%(new_tasks)s::VARCHAR AS JSON)) AS task_count
        WHERE
            json_array_length(CAST(%(new_tasks)s::VARCHAR AS JSON)) <= %(most_tasks)s::BIGINT
            ON CONFLICT(id) DO UPDATE SET changed_at = greatest(
                excluded.changed_at, timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond')
            ),
            task_count = (users.task_count + excluded.task_count)
        WHERE users.task_count + excluded.task_count <= %(most_tasks)s::BIGINT
        RETURNING users.id, users.changed_at
    ),
    made AS (
        INSERT INTO tasks(user_id, id, title, description, completed, created_at, updated_at)
        SELECT
            %(owner)s::VARCHAR AS user_id,
            nextval('tasks_id_seq') AS id,
            anon_1.title AS title,
            anon_1.description AS description,
            anon_1.completed AS completed,
            stamp.changed_at AS created_at,
            stamp.changed_at AS updated_at
        FROM stamp
        JOIN
            json_to_recordset(CAST(%(new_tasks)s::VARCHAR AS JSON)) AS anon_1(
                title VARCHAR, description VARCHAR, completed BOOLEAN
            )
            ON true
        RETURNING
            tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, tasks.created_at, tasks.updated_at
    ),
    task AS (
        SELECT
            made.id AS id,
            made.user_id AS user_id,
            made.title AS title,
            made.description AS description,
            made.completed AS completed,
            to_char(timezone('UTC', made.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', made.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
        FROM made
        ORDER BY made.id
    )
SELECT nullif(concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']'), '[]') AS body
FROM task;

-- CREATE.on_citus
WITH
    stamp AS (
        INSERT INTO users(id, changed_at, known_since, task_count)
        SELECT
            %(owner)s::VARCHAR AS id,
            timezone('UTC', timezone('UTC', now()) + interval '1 microsecond') AS changed_at,
            now() AS known_since,
            json_array_length(CAST(%(new_tasks)s::VARCHAR AS JSON)) AS task_count
        WHERE
            json_array_length(CAST(%(new_tasks)s::VARCHAR AS JSON)) <= %(most_tasks)s::BIGINT
            ON CONFLICT(id) DO UPDATE SET changed_at = greatest(
                excluded.changed_at, timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond')
            ),
            task_count = (users.task_count + excluded.task_count)
        WHERE users.task_count + excluded.task_count <= %(most_tasks)s::BIGINT
        RETURNING users.id, users.changed_at
    ),
    draft AS (
        SELECT
            %(owner)s::VARCHAR AS user_id,
            nextval('tasks_id_seq') AS id,
            anon_1.title AS title,
            anon_1.description AS description,
            anon_1.completed AS completed,
            stamp.changed_at AS created_at,
            stamp.changed_at AS updated_at
        FROM stamp
        JOIN
            json_to_recordset(CAST(%(new_tasks)s::VARCHAR AS JSON)) AS anon_1(
                title VARCHAR, description VARCHAR, completed BOOLEAN
            )
            ON true
    ),
    made AS (
        INSERT INTO tasks(user_id, id, title, description, completed, created_at, updated_at)
        SELECT
            users.id AS user_id,
            draft.id AS id,
            draft.title AS title,
            draft.description AS description,
            draft.completed AS completed,
            draft.created_at AS created_at,
            draft.updated_at AS updated_at
        FROM users
        JOIN draft ON users.id = draft.user_id
        WHERE users.id = %(owner)s::VARCHAR
        RETURNING
            tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, tasks.created_at, tasks.updated_at
    ),
    task AS (
        SELECT
            made.id AS id,
            made.user_id AS user_id,
            made.title AS title,
            made.description AS description,
            made.completed AS completed,
            to_char(timezone('UTC', made.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', made.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
        FROM made
        ORDER BY made.id
    )
SELECT nullif(concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']'), '[]') AS body
FROM task;

-- CREATE_ONCE
WITH
    earlier AS (
        SELECT idempotency_keys.response AS response, idempotency_keys.fingerprint AS fingerprint
        FROM idempotency_keys
        WHERE
            idempotency_keys.user_id = %(owner)s::VARCHAR
            AND idempotency_keys.key = %(idempotency_key)s::VARCHAR
            AND idempotency_keys.created_at >= now() - interval '24 hours'
    ),
    stamp AS (
        INSERT INTO users(id, changed_at, known_since, task_count)
        SELECT
            %(owner)s::VARCHAR AS id,
            timezone('UTC', timezone('UTC', now()) + interval '1 microsecond') AS changed_at,
            now() AS known_since,
            json_array_length(CAST(%(new_tasks)s::VARCHAR AS JSON)) AS task_count
        WHERE
            json_array_length(CAST(%(new_tasks)s::VARCHAR AS JSON)) <= %(most_tasks)s::BIGINT
            AND NOT (EXISTS (SELECT earlier.response FROM earlier))
            ON CONFLICT(id) DO UPDATE SET changed_at = greatest(
                excluded.changed_at, timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond')
            ),
            task_count = (users.task_count + excluded.task_count)
        WHERE users.task_count + excluded.task_count <= %(most_tasks)s::BIGINT
        RETURNING users.id, users.changed_at
    ),
    draft AS (
        SELECT
            %(owner)s::VARCHAR AS user_id,
            nextval('tasks_id_seq') AS id,
            anon_1.title AS title,
            anon_1.description AS description,
            anon_1.completed AS completed,
            stamp.changed_at AS created_at,
            stamp.changed_at AS updated_at
        FROM stamp
        JOIN
            json_to_recordset(CAST(%(new_tasks)s::VARCHAR AS JSON)) AS anon_1(
                title VARCHAR, description VARCHAR, completed BOOLEAN
            )
            ON true
    ),
    made AS (
        INSERT INTO tasks(user_id, id, title, description, completed, created_at, updated_at)
        SELECT
            draft.user_id AS user_id,
            draft.id AS id,
            draft.title AS title,
            draft.description AS description,
            draft.completed AS completed,
            draft.created_at AS created_at,
            draft.updated_at AS updated_at
        FROM draft
    ),
    task AS (
        SELECT
            draft.id AS id,
            draft.user_id AS user_id,
            draft.title AS title,
            draft.description AS description,
            draft.completed AS completed,
            to_char(timezone('UTC', draft.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', draft.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
        FROM draft
    ),
    claim AS (
        INSERT INTO idempotency_keys(user_id, key, fingerprint, response, created_at)
        SELECT
            %(owner)s::VARCHAR AS user_id,
            %(idempotency_key)s::VARCHAR AS key,
            %(fingerprint)s::VARCHAR AS fingerprint,
            concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']') AS response,
            now() AS created_at
        FROM task
        HAVING
            count(*) > 0
            ON CONFLICT(user_id, key) DO UPDATE SET fingerprint = CASE
                WHEN (excluded.created_at - idempotency_keys.created_at > interval '24 hours') THEN excluded.fingerprint
            END,
            response = excluded.response,
            created_at = excluded.created_at
        RETURNING idempotency_keys.response
    )
SELECT
    (SELECT claim.response FROM claim) AS body,
    (SELECT earlier.response FROM earlier) AS replay,
    (SELECT earlier.fingerprint = %(fingerprint)s::VARCHAR AS anon_2 FROM earlier) AS same;

-- CREATE_ONCE.on_citus
WITH
    stamp AS (
        INSERT INTO users(id, changed_at, known_since, task_count)
        SELECT
            %(owner)s::VARCHAR AS id,
            timezone('UTC', timezone('UTC', now()) + interval '1 microsecond') AS changed_at,
            now() AS known_since,
            json_array_length(CAST(%(new_tasks)s::VARCHAR AS JSON)) AS task_count
        WHERE
            json_array_length(CAST(%(new_tasks)s::VARCHAR AS JSON)) <= %(most_tasks)s::BIGINT
            AND NOT (
                EXISTS (
                    SELECT idempotency_keys.response, idempotency_keys.fingerprint
                    FROM idempotency_keys
                    WHERE
                        idempotency_keys.user_id = %(owner)s::VARCHAR
                        AND idempotency_keys.key = %(idempotency_key)s::VARCHAR
                        AND idempotency_keys.created_at >= now() - interval '24 hours'
                )
            )
            ON CONFLICT(id) DO UPDATE SET changed_at = greatest(
                excluded.changed_at, timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond')
            ),
            task_count = (users.task_count + excluded.task_count)
        WHERE users.task_count + excluded.task_count <= %(most_tasks)s::BIGINT
        RETURNING users.id, users.changed_at
    ),
    draft AS (
        SELECT
            %(owner)s::VARCHAR AS user_id,
            nextval('tasks_id_seq') AS id,
            anon_1.title AS title,
            anon_1.description AS description,
            anon_1.completed AS completed,
            stamp.changed_at AS created_at,
            stamp.changed_at AS updated_at
        FROM stamp
        JOIN
            json_to_recordset(CAST(%(new_tasks)s::VARCHAR AS JSON)) AS anon_1(
                title VARCHAR, description VARCHAR, completed BOOLEAN
            )
            ON true
    ),
    made AS (
        INSERT INTO tasks(user_id, id, title, description, completed, created_at, updated_at)
        SELECT
            users.id AS user_id,
            draft.id AS id,
            draft.title AS title,
            draft.description AS description,
            draft.completed AS completed,
            draft.created_at AS created_at,
            draft.updated_at AS updated_at
        FROM users
        JOIN draft ON users.id = draft.user_id
        WHERE users.id = %(owner)s::VARCHAR
    ),
    task AS (
        SELECT
            draft.id AS id,
            draft.user_id AS user_id,
            draft.title AS title,
            draft.description AS description,
            draft.completed AS completed,
            to_char(timezone('UTC', draft.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', draft.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
        FROM draft
    ),
    answer AS (
        SELECT
            %(owner)s::VARCHAR AS user_id,
            %(idempotency_key)s::VARCHAR AS key,
            %(fingerprint)s::VARCHAR AS fingerprint,
            concat('[', string_agg(CAST(row_to_json(task) AS TEXT), ','), ']') AS response,
            now() AS created_at
        FROM task
        HAVING count(*) > 0
    ),
    claim AS (
        INSERT INTO idempotency_keys(user_id, key, fingerprint, response, created_at)
        SELECT
            users.id AS user_id,
            answer.key AS key,
            answer.fingerprint AS fingerprint,
            answer.response AS response,
            answer.created_at AS created_at
        FROM users
        JOIN answer ON users.id = answer.user_id
        WHERE
            users.id = %(owner)s::VARCHAR
            ON CONFLICT(user_id, key) DO UPDATE SET fingerprint = CASE
                WHEN (excluded.created_at - idempotency_keys.created_at > interval '24 hours') THEN excluded.fingerprint
            END,
            response = excluded.response,
            created_at = excluded.created_at
        RETURNING idempotency_keys.response
    ),
    earlier AS (
        SELECT idempotency_keys.response AS response, idempotency_keys.fingerprint AS fingerprint
        FROM idempotency_keys
        WHERE
            idempotency_keys.user_id = %(owner)s::VARCHAR
            AND idempotency_keys.key = %(idempotency_key)s::VARCHAR
            AND idempotency_keys.created_at >= now() - interval '24 hours'
    )
SELECT
    (SELECT claim.response FROM claim) AS body,
    (SELECT earlier.response FROM earlier) AS replay,
    (SELECT earlier.fingerprint = %(fingerprint)s::VARCHAR AS anon_2 FROM earlier) AS same;

-- DELETE
WITH
    taken AS (
        SELECT users.id AS id
        FROM users
        WHERE
            users.id = %(owner)s::VARCHAR
            AND (
                EXISTS (
                    SELECT *
                    FROM tasks
                    WHERE
                        tasks.user_id = %(owner)s::VARCHAR
                        AND tasks.id = %(task_id)s::BIGINT
                        AND (
                            %(if_match)s::TIMESTAMP WITH TIME ZONE[] IS NULL
                            OR coalesce(tasks.updated_at = ANY(%(if_match)s::TIMESTAMP WITH TIME ZONE[]), false)
                        )
                )
            )
        FOR NO KEY UPDATE
    ),
    gone AS (
        DELETE FROM tasks
        USING taken
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND tasks.id = %(task_id)s::BIGINT
            AND (
                %(if_match)s::TIMESTAMP WITH TIME ZONE[] IS NULL
                OR coalesce(tasks.updated_at = ANY(%(if_match)s::TIMESTAMP WITH TIME ZONE[]), false)
            )
            AND tasks.user_id = taken.id
        RETURNING tasks.user_id, tasks.id
    ),
    stamp AS (
        UPDATE users SET changed_at
        = greatest(now(), timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond')),
        task_count = (users.task_count - (SELECT count(*) AS count_1 FROM gone))
        WHERE users.id = %(owner)s::VARCHAR AND (EXISTS (SELECT gone.id FROM gone))
        RETURNING users.id, users.changed_at
    ),
    kept AS (
        INSERT INTO deletions(user_id, deleted_at, id)
        SELECT %(owner)s::VARCHAR AS user_id, stamp.changed_at AS changed_at, gone.id AS id
        FROM gone
        JOIN stamp ON stamp.id = gone.user_id
    )
SELECT
    EXISTS (SELECT gone.id FROM gone) AS done,
    EXISTS (SELECT * FROM tasks WHERE tasks.user_id = %(owner)s::VARCHAR AND tasks.id = %(task_id)s::BIGINT) AS found;

-- DELETE.on_citus
WITH
    taken AS (
        SELECT users.id AS id
        FROM users
        WHERE
            users.id = %(owner)s::VARCHAR
            AND (
                EXISTS (
                    SELECT *
                    FROM tasks
                    WHERE
                        tasks.user_id = %(owner)s::VARCHAR
                        AND tasks.id = %(task_id)s::BIGINT
                        AND (
                            %(if_match)s::TIMESTAMP WITH TIME ZONE[] IS NULL
                            OR coalesce(tasks.updated_at = ANY(%(if_match)s::TIMESTAMP WITH TIME ZONE[]), false)
                        )
                )
            )
        FOR NO KEY UPDATE
    ),
    gone AS (
        DELETE FROM tasks
        USING taken
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND tasks.id = %(task_id)s::BIGINT
            AND (
                %(if_match)s::TIMESTAMP WITH TIME ZONE[] IS NULL
                OR coalesce(tasks.updated_at = ANY(%(if_match)s::TIMESTAMP WITH TIME ZONE[]), false)
            )
            AND tasks.user_id = taken.id
        RETURNING tasks.user_id, tasks.id
    ),
    stamp AS (
        UPDATE users SET changed_at
        = greatest(now(), timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond')),
        task_count = (users.task_count - (SELECT count(*) AS count_1 FROM gone))
        WHERE users.id = %(owner)s::VARCHAR AND (EXISTS (SELECT gone.id FROM gone))
        RETURNING users.id, users.changed_at
    ),
    buried AS (
        SELECT %(owner)s::VARCHAR AS user_id, stamp.changed_at AS changed_at, gone.id AS id
        FROM gone
        JOIN stamp ON stamp.id = gone.user_id
    ),
    kept AS (
        INSERT INTO deletions(user_id, deleted_at, id)
        SELECT users.id AS user_id, buried.changed_at AS changed_at, buried.id AS id
        FROM users
        JOIN buried ON users.id = buried.user_id
        WHERE users.id = %(owner)s::VARCHAR
    )
SELECT
    EXISTS (SELECT gone.id FROM gone) AS done,
    EXISTS (SELECT * FROM tasks WHERE tasks.user_id = %(owner)s::VARCHAR AND tasks.id = %(task_id)s::BIGINT) AS found;

-- DELETE_ALL
WITH
    taken AS (
        SELECT users.id AS id
        FROM users
        WHERE
            users.id = %(owner)s::VARCHAR
            AND (
                EXISTS (
                    SELECT *
                    FROM tasks
                    WHERE
                        tasks.user_id = %(owner)s::VARCHAR
                        AND (
                            CAST(%(only_completed)s AS BOOLEAN) IS NULL
                            OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
                        )
                        AND (
                            %(only_q)s::VARCHAR IS NULL
                            OR coalesce(
                                strpos(
                                    lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                )
                                > 0
                                OR strpos(
                                    lower(tasks.description COLLATE pg_c_utf8),
                                    lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                )
                                > 0,
                                false
                            )
                        )
                        AND (%(only_ids)s::BIGINT[] IS NULL OR coalesce(tasks.id = ANY(%(only_ids)s::BIGINT[]), false))
                )
            )
        FOR NO KEY UPDATE
    ),
    gone AS (
        DELETE FROM tasks
        USING taken
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND (
                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
            )
            AND (
                %(only_q)s::VARCHAR IS NULL
                OR coalesce(
                    strpos(lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)) > 0
                    OR strpos(lower(tasks.description COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8))
                    > 0,
                    false
                )
            )
            AND (%(only_ids)s::BIGINT[] IS NULL OR coalesce(tasks.id = ANY(%(only_ids)s::BIGINT[]), false))
            AND tasks.user_id = taken.id
        RETURNING tasks.user_id, tasks.id
    ),
    stamp AS (
        UPDATE users SET changed_at
        = greatest(now(), timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond')),
        task_count = (users.task_count - (SELECT count(*) AS count_1 FROM gone))
        WHERE users.id = %(owner)s::VARCHAR AND (EXISTS (SELECT gone.id FROM gone))
        RETURNING users.id, users.changed_at
    ),
    kept AS (
        INSERT INTO deletions(user_id, deleted_at, id)
        SELECT %(owner)s::VARCHAR AS user_id, stamp.changed_at AS changed_at, gone.id AS id
        FROM gone
        JOIN stamp ON stamp.id = gone.user_id
    )
SELECT count(*) AS number
FROM gone;

-- DELETE_ALL.on_citus
WITH
    taken AS (
        SELECT users.id AS id
        FROM users
        WHERE
            users.id = %(owner)s::VARCHAR
            AND (
                EXISTS (
                    SELECT *
                    FROM tasks
                    WHERE
                        tasks.user_id = %(owner)s::VARCHAR
                        AND (
                            CAST(%(only_completed)s AS BOOLEAN) IS NULL
                            OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
                        )
                        AND (
                            %(only_q)s::VARCHAR IS NULL
                            OR coalesce(
                                strpos(
                                    lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                )
                                > 0
                                OR strpos(
                                    lower(tasks.description COLLATE pg_c_utf8),
                                    lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                )
                                > 0,
                                false
                            )
                        )
                        AND (%(only_ids)s::BIGINT[] IS NULL OR coalesce(tasks.id = ANY(%(only_ids)s::BIGINT[]), false))
                )
            )
        FOR NO KEY UPDATE
    ),
    gone AS (
        DELETE FROM tasks
        USING taken
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND (
                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
            )
            AND (
                %(only_q)s::VARCHAR IS NULL
                OR coalesce(
                    strpos(lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)) > 0
                    OR strpos(lower(tasks.description COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8))
                    > 0,
                    false
                )
            )
            AND (%(only_ids)s::BIGINT[] IS NULL OR coalesce(tasks.id = ANY(%(only_ids)s::BIGINT[]), false))
            AND tasks.user_id = taken.id
        RETURNING tasks.user_id, tasks.id
    ),
    stamp AS (
        UPDATE users SET changed_at
        = greatest(now(), timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond')),
        task_count = (users.task_count - (SELECT count(*) AS count_1 FROM gone))
        WHERE users.id = %(owner)s::VARCHAR AND (EXISTS (SELECT gone.id FROM gone))
        RETURNING users.id, users.changed_at
    ),
    buried AS (
        SELECT %(owner)s::VARCHAR AS user_id, stamp.changed_at AS changed_at, gone.id AS id
        FROM gone
        JOIN stamp ON stamp.id = gone.user_id
    ),
    kept AS (
        INSERT INTO deletions(user_id, deleted_at, id)
        SELECT users.id AS user_id, buried.changed_at AS changed_at, buried.id AS id
        FROM users
        JOIN buried ON users.id = buried.user_id
        WHERE users.id = %(owner)s::VARCHAR
    )
SELECT count(*) AS number
FROM gone;

-- JOIN
WITH joined AS (INSERT INTO users(id) VALUES (%(owner)s::VARCHAR) ON CONFLICT DO NOTHING RETURNING users.id)
SELECT count(*) AS number
FROM joined;

-- UPDATE
WITH
    stamp AS (
        UPDATE users SET changed_at
        = greatest(now(), timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond'))
        WHERE
            users.id = %(owner)s::VARCHAR
            AND (
                EXISTS (
                    SELECT *
                    FROM tasks
                    WHERE
                        tasks.user_id = %(owner)s::VARCHAR
                        AND tasks.id = %(task_id)s::BIGINT
                        AND (
                            %(if_match)s::TIMESTAMP WITH TIME ZONE[] IS NULL
                            OR coalesce(tasks.updated_at = ANY(%(if_match)s::TIMESTAMP WITH TIME ZONE[]), false)
                        )
                )
            )
        RETURNING users.id, users.changed_at
    ),
    changed AS (
        UPDATE tasks SET title = CASE
            WHEN jsonb_exists(CAST(%(changes)s::VARCHAR AS JSONB), 'title')
            THEN CAST(jsonb_extract_path_text(CAST(%(changes)s::VARCHAR AS JSONB), 'title') AS VARCHAR)
            ELSE tasks.title
        END,
        description = CASE
            WHEN jsonb_exists(CAST(%(changes)s::VARCHAR AS JSONB), 'description')
            THEN CAST(jsonb_extract_path_text(CAST(%(changes)s::VARCHAR AS JSONB), 'description') AS VARCHAR)
            ELSE tasks.description
        END,
        completed = CASE
            WHEN jsonb_exists(CAST(%(changes)s::VARCHAR AS JSONB), 'completed')
            THEN CAST(jsonb_extract_path_text(CAST(%(changes)s::VARCHAR AS JSONB), 'completed') AS BOOLEAN)
            ELSE tasks.completed
        END,
        updated_at = stamp.changed_at
        FROM stamp
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND tasks.id = %(task_id)s::BIGINT
            AND (
                %(if_match)s::TIMESTAMP WITH TIME ZONE[] IS NULL
                OR coalesce(tasks.updated_at = ANY(%(if_match)s::TIMESTAMP WITH TIME ZONE[]), false)
            )
            AND tasks.user_id = stamp.id
        RETURNING
            tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.completed, tasks.created_at, tasks.updated_at
    ),
    task AS (
        SELECT
            changed.id AS id,
            changed.user_id AS user_id,
            changed.title AS title,
            changed.description AS description,
            changed.completed AS completed,
            to_char(timezone('UTC', changed.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
            to_char(timezone('UTC', changed.updated_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at
        FROM changed
    )
SELECT
    (SELECT CAST(row_to_json(task) AS TEXT) AS row_to_json_1 FROM task) AS body,
    EXISTS (SELECT * FROM tasks WHERE tasks.user_id = %(owner)s::VARCHAR AND tasks.id = %(task_id)s::BIGINT) AS found;

-- UPDATE_ALL
WITH
    stamp AS (
        UPDATE users SET changed_at
        = greatest(now(), timezone('UTC', timezone('UTC', users.changed_at) + interval '1 microsecond'))
        WHERE
            users.id = %(owner)s::VARCHAR
            AND (
                EXISTS (
                    SELECT *
                    FROM tasks
                    WHERE
                        tasks.user_id = %(owner)s::VARCHAR
                        AND (
                            CAST(%(only_completed)s AS BOOLEAN) IS NULL
                            OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
                        )
                        AND (
                            %(only_q)s::VARCHAR IS NULL
                            OR coalesce(
                                strpos(
                                    lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                )
                                > 0
                                OR strpos(
                                    lower(tasks.description COLLATE pg_c_utf8),
                                    lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)
                                )
                                > 0,
                                false
                            )
                        )
                        AND (%(only_ids)s::BIGINT[] IS NULL OR coalesce(tasks.id = ANY(%(only_ids)s::BIGINT[]), false))
                )
            )
        RETURNING users.id, users.changed_at
    ),
    changed AS (
        UPDATE tasks SET completed = CAST(%(wanted)s AS BOOLEAN),
        updated_at = stamp.changed_at
        FROM stamp
        WHERE
            tasks.user_id = %(owner)s::VARCHAR
            AND (
                CAST(%(only_completed)s AS BOOLEAN) IS NULL
                OR coalesce(tasks.completed = CAST(%(only_completed)s AS BOOLEAN), false)
            )
            AND (
                %(only_q)s::VARCHAR IS NULL
                OR coalesce(
                    strpos(lower(tasks.title COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8)) > 0
                    OR strpos(lower(tasks.description COLLATE pg_c_utf8), lower(%(only_q)s::VARCHAR COLLATE pg_c_utf8))
                    > 0,
                    false
                )
            )
            AND (%(only_ids)s::BIGINT[] IS NULL OR coalesce(tasks.id = ANY(%(only_ids)s::BIGINT[]), false))
            AND tasks.user_id = stamp.id
        RETURNING tasks.id
    )
SELECT count(*) AS number
FROM changed;
