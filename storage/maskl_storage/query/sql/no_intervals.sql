-- What stands in place of intervals.sql while no query names resamples.

CREATE OR REPLACE MACRO maskl_not_named(resamples) AS
    CASE WHEN CAST(resamples AS VARCHAR) = '0' THEN false ELSE error('give the number of resamples by name: resamples := 1000') END;

CREATE OR REPLACE MACRO maskl_mean_intervals(t, truth, prediction, step, exclude, resamples) AS TABLE
SELECT '' AS side, 0::BIGINT AS at_step, '' AS of_image, 0::DOUBLE AS low, 0::DOUBLE AS high
WHERE maskl_not_named(resamples);

CREATE OR REPLACE MACRO maskl_class_intervals(t, run_a, run_b, truth, prediction, step, key, resamples) AS TABLE
SELECT 0::BIGINT AS at_step, '' AS of_image, '' AS of_class, 0::BIGINT AS n_units, 0::DOUBLE AS low, 0::DOUBLE AS high
WHERE maskl_not_named(resamples);

CREATE OR REPLACE MACRO maskl_change_intervals(t, run_a, run_b, truth, prediction, step, exclude, key, resamples) AS TABLE
SELECT 0::BIGINT AS at_step, '' AS of_image, '' AS of_metric, 0::BIGINT AS n_units, 0::DOUBLE AS low, 0::DOUBLE AS high
WHERE maskl_not_named(resamples);
