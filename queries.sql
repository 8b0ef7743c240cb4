-- Every statement as PostgreSQL gets it, with each %(name)s as a parameter. Written by: make sql

-- VERSIONS
SELECT
  CAST(
    json_object_agg(users.id, to_char(timezone('UTC', users.changed_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS TEXT
  ) AS versions
FROM users
WHERE users.id = ANY (%(owners)s::TEXT[]);

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
    FOR UPDATE SKIP LOCKED
  ),
  sizes AS (
    SELECT
      "old".user_id AS user_id,
      "old".key AS key,
      "old".bytes AS bytes,
      sum("old".bytes) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND %(param_1)s::INTEGER PRECEDING) AS before
    FROM "old"
  ),
  cleared AS (
    DELETE FROM idempotency_keys
    WHERE
      (idempotency_keys.user_id, idempotency_keys.key) IN (
        SELECT sizes.user_id, sizes.key
        FROM sizes
        WHERE coalesce(sizes.before, %(coalesce_1)s::INTEGER) < %(coalesce_2)s::INTEGER
      )
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
    SELECT users.id AS id FROM users WHERE users.id IN (SELECT newest.user_id FROM newest) FOR NO KEY UPDATE SKIP LOCKED
  ),
  raised AS (
    UPDATE users
    SET known_since=greatest(users.known_since, newest.moment)
    FROM newest
    WHERE users.id = newest.user_id AND users.id IN (SELECT taken.id FROM taken)
    RETURNING users.id
  ),
  forgotten AS (
    DELETE FROM deletions
    WHERE
      deletions.user_id IN (SELECT raised.id FROM raised)
      AND (deletions.user_id, deletions.deleted_at, deletions.id) IN (
        SELECT aged.user_id, aged.deleted_at, aged.id FROM aged
      )
    RETURNING deletions.id
  )
SELECT count(*) AS number
FROM forgotten;

-- READY
SELECT 1 AS number;
