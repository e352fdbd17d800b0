-- The counts of each class summed over the rows of each resample. The word with a dollar stands for the rows. The sums
-- are scalar products of counts and weights, over blocks of 512 rows; whole numbers below 2^53, and so exact.
WITH units AS MATERIALIZED (
    SELECT * FROM $units WHERE maskl_count(resamples) > 0  -- else no row is looked at
), placed AS MATERIALIZED (
    SELECT unit, n // 512 AS block, n % 512 AS place
    FROM (SELECT unit, row_number() OVER (ORDER BY unit) - 1 AS n FROM (SELECT DISTINCT unit FROM units))
), sides AS MATERIALIZED (
    SELECT side, at_step, of_image, count(DISTINCT unit) AS n_units FROM units GROUP BY side, at_step, of_image
), counted AS MATERIALIZED (
    SELECT *, row_number() OVER () AS g
    FROM (SELECT DISTINCT side, at_step, of_image, of_class FROM units)
), summed AS MATERIALIZED (
    SELECT c.g, p.block, p.place, CAST(sum(u.tp) AS DOUBLE) AS tp, CAST(sum(u.fp) AS DOUBLE) AS fp,
           CAST(sum(u.fn) AS DOUBLE) AS fn
    FROM units AS u JOIN placed AS p ON p.unit = u.unit
    JOIN counted AS c ON c.side = u.side AND c.at_step IS NOT DISTINCT FROM u.at_step AND c.of_image = u.of_image
     AND c.of_class = u.of_class
    GROUP BY c.g, p.block, p.place
), cells AS (
    SELECT p.block, p.place, i.g FROM placed AS p JOIN (SELECT DISTINCT block, g FROM summed) AS i ON i.block = p.block
), vectors AS (
    SELECT c.block, c.g, list(coalesce(s.tp, 0) ORDER BY c.place) AS tp, list(coalesce(s.fp, 0) ORDER BY c.place) AS fp,
           list(coalesce(s.fn, 0) ORDER BY c.place) AS fn
    FROM cells AS c LEFT JOIN summed AS s ON s.block = c.block AND s.place = c.place AND s.g = c.g
    GROUP BY c.block, c.g
), blocks AS (
    SELECT v.block, list(v.g ORDER BY v.g) AS gs, flatten(list([v.tp, v.fp, v.fn] ORDER BY v.g)) AS vectors,
           any_value(k.keys) AS keys
    FROM vectors AS v
    JOIN (SELECT block, list(unit ORDER BY place) AS keys FROM placed GROUP BY block) AS k ON k.block = v.block
    GROUP BY v.block
), drawn AS (
    SELECT gs, vectors, keys, unnest((SELECT list({'n': resample, 'factor': factor, 'summand': summand})
                                      FROM maskl_draws(resamples))) AS draw
    FROM blocks
), weighted AS (  -- how often each row counts: how many of the distribution's steps its number has passed
    SELECT gs, vectors, draw.n AS resample,
           [CASE $poisson END FOR h IN [(k * draw.factor + draw.summand) % $prime FOR k IN keys]] AS weights
    FROM drawn
), products AS (
    SELECT gs, resample, [list_dot_product(v, weights) FOR v IN vectors] AS products FROM weighted
), each_class AS (
    SELECT resample, unnest(gs) AS g, unnest(range(len(gs))) AS i, products FROM products
), resampled AS (
    SELECT g, resample, sum(products[3 * i + 1]) AS tp, sum(products[3 * i + 2]) AS fp, sum(products[3 * i + 3]) AS fn
    FROM each_class GROUP BY g, resample
)
SELECT c.side, c.at_step, c.of_image, c.of_class, s.n_units, r.resample, r.tp, r.fp, r.fn
FROM resampled AS r JOIN counted AS c ON c.g = r.g
JOIN sides AS s ON s.side = c.side AND s.at_step IS NOT DISTINCT FROM c.at_step AND s.of_image = c.of_image
