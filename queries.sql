-- Every statement as PostgreSQL gets it, with each %(name)s as a parameter. Written by: make sql

-- READY
SELECT 1 AS number;

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
