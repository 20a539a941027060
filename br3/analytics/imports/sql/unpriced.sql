-- Models of messages whose cost is unknown, and how many messages.
SELECT model, count(*) FROM priced WHERE cost_usd IS NULL GROUP BY model ORDER BY model;
