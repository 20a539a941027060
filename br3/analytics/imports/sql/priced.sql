-- The messages with their cost in USD, exact, the tenth decimal rounded half to even; NULL where a kind of token that
-- was used has no price. $divisor units of tokens times price make 1e-10 USD.
CREATE TEMP TABLE priced AS
WITH summed AS (
    SELECT
        m.*, p.price,
        CASE
            WHEN p.price IS NULL
                OR (m.input_tokens > 0 AND p.input IS NULL)
                OR (m.output_tokens > 0 AND p.output IS NULL)
                OR (m.cache_write_5m_tokens > 0 AND p.cache_write_5m IS NULL)
                OR (m.cache_write_1h_tokens > 0 AND p.cache_write_1h IS NULL)
                OR (m.cache_read_tokens > 0 AND p.cache_read IS NULL)
            THEN NULL
            ELSE m.input_tokens * coalesce(p.input, 0) + m.output_tokens * coalesce(p.output, 0)
                + m.cache_write_5m_tokens * coalesce(p.cache_write_5m, 0)
                + m.cache_write_1h_tokens * coalesce(p.cache_write_1h, 0)
                + m.cache_read_tokens * coalesce(p.cache_read, 0)
        END AS units
    FROM messages AS m
    JOIN prices AS p
        ON p.model = m.model AND p.mode = m.mode AND p.day = m.sent::DATE
        AND m.prompt_tokens BETWEEN p.shortest AND p.longest
),
rounded AS (
    SELECT
        * EXCLUDE (units),
        units // $divisor + CASE
            WHEN units % $divisor * 2 > $divisor THEN 1
            WHEN units % $divisor * 2 = $divisor THEN units // $divisor % 2
            ELSE 0
        END AS tenths
    FROM summed
)
SELECT
    * EXCLUDE (tenths),
    (tenths // 10000000000)::VARCHAR || '.' || lpad((tenths % 10000000000)::VARCHAR, 10, '0') AS cost_usd
FROM rounded
ORDER BY sent, message, request;
