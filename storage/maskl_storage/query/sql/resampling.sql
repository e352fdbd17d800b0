-- The paired bootstrap; docs/metrics.md has its definition. A resample draws rows with replacement: each row counts as
-- often as a Poisson number of mean 1 says, which follows from the row's key and the resample's number alone. So two
-- runs count the same rows, and every reader gets the same numbers.
--
-- Row and resample each have numbers below the prime 2^31 - 1, from the first 60 bits of an MD5; a linear function of
-- them is where the Poisson distribution is looked up. All of it is arithmetic of whole numbers below 2^63.

CREATE OR REPLACE MACRO maskl_digest(name_of, below) AS
    CAST('0x' || substr(md5(name_of), 1, 15) AS BIGINT) % below;

-- What a row is drawn by.
CREATE OR REPLACE MACRO maskl_unit(of_row) AS maskl_digest(CAST(of_row AS VARCHAR), $prime);

CREATE OR REPLACE MACRO maskl_count(resamples) AS
    CASE WHEN TRY_CAST(resamples AS BIGINT) BETWEEN 0 AND 100000 AND TRY_CAST(resamples AS DOUBLE) % 1 = 0
         THEN CAST(resamples AS BIGINT)
         ELSE error('resamples must be a whole number from 0 to 100000; got ' || coalesce(CAST(resamples AS VARCHAR), 'NULL'))
    END;

-- The resamples, each with its factor and its summand.
CREATE OR REPLACE MACRO maskl_draws(resamples) AS TABLE
SELECT n AS resample, 1 + maskl_digest('factor ' || n, ($prime - 1)) AS factor, maskl_digest('summand ' || n, $prime) AS summand
FROM range(maskl_count(resamples)) AS numbers(n);

-- The rows of two runs that are matched and were compared in both: their counts by class, and what each is drawn by.
CREATE OR REPLACE MACRO maskl_paired_units(t, run_a, run_b, truth, prediction, step, key) AS TABLE
WITH met AS MATERIALIZED (
    SELECT run_id_a, row_a, run_id AS run_id_b, _row AS row_b, image_column,
           maskl_meets(step, maskl_step_of(step, step_b)) AS at_step, maskl_unit(row_key) AS unit
    FROM compare_rows(t, run_a, run_b, key := key, truth := truth, prediction := prediction, step := step)
), counts AS MATERIALIZED (
    SELECT run_id, _row, image_column, class_name, tp, fp, fn
    FROM row_class_iou(t, truth := truth, prediction := prediction, step := step)
    WHERE run_id IN (maskl_run_id(run_a), maskl_run_id(run_b)) AND tp IS NOT NULL
), compared AS (SELECT DISTINCT run_id, _row, image_column FROM counts
), used AS MATERIALIZED (
    SELECT m.* FROM met AS m
    SEMI JOIN compared AS a ON a.run_id = m.run_id_a AND a._row = m.row_a AND a.image_column = m.image_column
    SEMI JOIN compared AS b ON b.run_id = m.run_id_b AND b._row = m.row_b AND b.image_column = m.image_column
)
SELECT 'a' AS side, u.at_step, u.image_column AS of_image, c.class_name AS of_class, u.unit, c.tp, c.fp, c.fn
FROM used AS u JOIN counts AS c
  ON c.run_id = u.run_id_a AND c._row = u.row_a AND c.image_column = u.image_column
UNION ALL
SELECT 'b', u.at_step, u.image_column, c.class_name, u.unit, c.tp, c.fp, c.fn
FROM used AS u JOIN counts AS c
  ON c.run_id = u.run_id_b AND c._row = u.row_b AND c.image_column = u.image_column;

-- The rows of each run that were compared. Each is drawn by its number.
CREATE OR REPLACE MACRO maskl_single_units(t, truth, prediction, step) AS TABLE
SELECT run_id AS side, maskl_step_of(step, _step) AS at_step, image_column AS of_image, class_name AS of_class,
       maskl_unit(_row) AS unit, tp, fp, fn
FROM row_class_iou(t, truth := truth, prediction := prediction, step := step) WHERE tp IS NOT NULL;

-- The counts of each class, summed over the rows of each resample.
CREATE OR REPLACE MACRO maskl_resampled_pair(t, run_a, run_b, truth, prediction, step, key, resamples) AS TABLE
$resampled_pair;

CREATE OR REPLACE MACRO maskl_resampled_runs(t, truth, prediction, step, resamples) AS TABLE
$resampled_runs;

-- From the sums of a resample: its IoU, and the means over the classes.
CREATE OR REPLACE MACRO maskl_metrics() AS
    ['mean_iou', 'mean_dice', 'mean_accuracy', 'frequency_weighted_iou', 'pixel_accuracy'];

-- The percentiles of what the resamples came to, in order, without those that came to nothing: between two neighbours
-- as NumPy's method "linear" has it. One row alone has none: every resample of it comes to the same.
CREATE OR REPLACE MACRO maskl_ordered(resampled) AS list(resampled ORDER BY resampled) FILTER (resampled IS NOT NULL);

CREATE OR REPLACE MACRO maskl_point(ordered, below, place) AS
    ordered[below + 1] + (ordered[least(below + 2, len(ordered))] - ordered[below + 1]) * (place - below);

CREATE OR REPLACE MACRO maskl_between(ordered, n, share) AS
    CASE WHEN n > 1 AND len(ordered) > 0
         THEN maskl_point(ordered, CAST(floor((len(ordered) - 1) * CAST(share AS DOUBLE)) AS BIGINT),
                          (len(ordered) - 1) * CAST(share AS DOUBLE)) END;
