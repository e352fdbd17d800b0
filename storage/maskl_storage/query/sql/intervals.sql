-- The intervals of what the bootstrap of resampling.sql gives; where no query asks for one, the empty macros of
-- no_intervals.sql stand in their place, and the files of the rows are not looked for.

CREATE OR REPLACE MACRO maskl_mean_intervals(t, truth, prediction, step, exclude, resamples) AS TABLE
WITH means AS (
    SELECT side, at_step, of_image, resample, max(n_units) AS n_units,
           maskl_steady_mean(maskl_iou(tp, fp, fn), of_class, exclude) AS mean_of
    FROM maskl_resampled_runs(t, truth, prediction, step, resamples)
    GROUP BY side, at_step, of_image, resample
)
SELECT side, at_step, of_image, maskl_between(ordered, n_units, 0.025) AS low, maskl_between(ordered, n_units, 0.975) AS high
FROM (SELECT side, at_step, of_image, max(n_units) AS n_units, maskl_ordered(mean_of) AS ordered
      FROM means GROUP BY side, at_step, of_image);

CREATE OR REPLACE MACRO maskl_class_intervals(t, run_a, run_b, truth, prediction, step, key, resamples) AS TABLE
WITH resampled AS MATERIALIZED (
    SELECT *, maskl_iou(tp, fp, fn) AS score
    FROM maskl_resampled_pair(t, run_a, run_b, truth, prediction, step, key, resamples)
)
SELECT at_step, of_image, of_class, n_units, maskl_between(ordered, n_units, 0.025) AS low,
       maskl_between(ordered, n_units, 0.975) AS high
FROM (
    SELECT a.at_step, a.of_image, a.of_class, max(a.n_units) AS n_units, maskl_ordered(b.score - a.score) AS ordered
    FROM resampled AS a JOIN resampled AS b
      ON b.resample = a.resample AND b.at_step = a.at_step AND b.of_image = a.of_image AND b.of_class = a.of_class
    WHERE a.side = 'a' AND b.side = 'b'
    GROUP BY a.at_step, a.of_image, a.of_class
);

CREATE OR REPLACE MACRO maskl_change_intervals(t, run_a, run_b, truth, prediction, step, exclude, key, resamples) AS TABLE
WITH classes AS (
    SELECT *, maskl_iou(tp, fp, fn) AS iou_of, maskl_dice(tp, fp, fn) AS dice_of, maskl_share(tp, fn) AS recall_of
    FROM maskl_resampled_pair(t, run_a, run_b, truth, prediction, step, key, resamples)
), means AS (
    SELECT side, at_step, of_image, resample, max(n_units) AS n_units, unnest(maskl_metrics()) AS of_metric,
           unnest([maskl_steady_mean(iou_of, of_class, exclude), maskl_steady_mean(dice_of, of_class, exclude),
                   maskl_steady_mean(recall_of, of_class, exclude),
                   maskl_steady_weighted_mean(iou_of, tp, fn, of_class, exclude), maskl_pixel_accuracy(tp, fn)]) AS mean_of
    FROM classes GROUP BY side, at_step, of_image, resample
), sides AS MATERIALIZED (FROM means)
SELECT at_step, of_image, of_metric, n_units, maskl_between(ordered, n_units, 0.025) AS low,
       maskl_between(ordered, n_units, 0.975) AS high
FROM (
    SELECT a.at_step, a.of_image, a.of_metric, max(a.n_units) AS n_units, maskl_ordered(b.mean_of - a.mean_of) AS ordered
    FROM sides AS a JOIN sides AS b
      ON b.resample = a.resample AND b.at_step = a.at_step AND b.of_image = a.of_image AND b.of_metric = a.of_metric
    WHERE a.side = 'a' AND b.side = 'b'
    GROUP BY a.at_step, a.of_image, a.of_metric
);
