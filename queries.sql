-- Every statement as PostgreSQL gets it, with each %(name)s as a parameter. Written by: make sql

-- READY
SELECT 1 AS number;

-- CLEAR_EXPIRED_KEYS
-- param_1 = 1000
WITH
  cleared AS (
    DELETE FROM idempotency_keys
    WHERE
      (idempotency_keys.user_id, idempotency_keys.key) IN (
        SELECT idempotency_keys.user_id, idempotency_keys.key
        FROM idempotency_keys
        WHERE idempotency_keys.created_at < now() - interval '24 hours'
        LIMIT %(param_1)s::INTEGER
        FOR UPDATE SKIP LOCKED
      )
    RETURNING idempotency_keys.key
  )
SELECT count(*) AS number
FROM cleared;
