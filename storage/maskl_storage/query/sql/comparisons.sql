-- Comparisons of two runs, and the means of one with their intervals; see macros.sql.

-- Means over the classes of class_iou. exclude leaves classes out of the means, while their pixels
-- still count as errors of others and in pixel_accuracy.
CREATE OR REPLACE MACRO maskl_means(t, truth, prediction, step, exclude) AS TABLE
SELECT run_id, run_name, _step, image_column,
       maskl_mean(iou, class_name, exclude) AS mean_iou, maskl_mean(dice, class_name, exclude) AS mean_dice,
       maskl_mean(recall, class_name, exclude) AS mean_accuracy,
       maskl_weighted_mean(iou, tp, fn, class_name, exclude) AS frequency_weighted_iou,
       maskl_pixel_accuracy(tp, fn) AS pixel_accuracy, max(n_rows) AS n_rows, max(n_left_out) AS n_left_out
FROM class_iou(t, truth := truth, prediction := prediction, step := step)
GROUP BY run_id, run_name, _step, image_column;

-- The same for users; with resamples, the interval of mean_iou.
CREATE OR REPLACE MACRO mean_iou(t, truth := 'ground_truth', prediction := 'predictions', step := 'each', exclude := [], resamples := 0) AS TABLE
SELECT m.*, i.low AS mean_iou_low, i.high AS mean_iou_high
FROM maskl_means(t, truth, prediction, step, exclude) AS m
LEFT JOIN maskl_mean_intervals(t, truth, prediction, step, exclude, resamples) AS i
  ON i.side = m.run_id AND i.at_step IS NOT DISTINCT FROM m._step AND i.of_image = m.image_column
ORDER BY m.run_id, m._step, m.image_column;

-- The classes of two runs side by side; change is that from run_a to run_b. With resamples, its interval, over the
-- n_matched rows that compare_rows matches and that were compared in both runs.
CREATE OR REPLACE MACRO compare_classes(t, run_a, run_b, truth := 'ground_truth', prediction := 'predictions', step := 'last', key := NULL, resamples := 0) AS TABLE
WITH scored AS MATERIALIZED (
    SELECT run_id, _step, maskl_meets(step, _step) AS meets, image_column, class_name, iou, n_rows, n_left_out
    FROM class_iou(t, truth := truth, prediction := prediction, step := step)
    WHERE run_id IN (maskl_run_id(run_a), maskl_run_id(run_b))
), both_runs AS (
    SELECT a._step AS step_a, b._step AS step_b, coalesce(a.meets, b.meets) AS meets,
           coalesce(a.image_column, b.image_column) AS image_column,
           coalesce(a.class_name, b.class_name) AS class_name, a.iou AS iou_a, b.iou AS iou_b,
           a.n_rows AS n_rows_a, a.n_left_out AS n_left_out_a, b.n_rows AS n_rows_b, b.n_left_out AS n_left_out_b
    FROM (FROM scored WHERE run_id = maskl_run_id(run_a)) AS a FULL JOIN (FROM scored WHERE run_id = maskl_run_id(run_b)) AS b
      ON b.image_column = a.image_column AND b.class_name = a.class_name AND b.meets = a.meets
)
SELECT maskl_run_id(run_a) AS run_id_a, maskl_run_id(run_b) AS run_id_b, c.step_a, c.step_b, c.image_column, c.class_name,
       c.iou_a, c.iou_b, c.iou_b - c.iou_a AS change, i.low AS change_low, i.high AS change_high,
       CAST(CASE WHEN resamples > 0 THEN coalesce(max(i.n_units) OVER (PARTITION BY c.meets, c.image_column), 0) END
            AS BIGINT) AS n_matched,
       c.n_rows_a, c.n_left_out_a, c.n_rows_b, c.n_left_out_b
FROM both_runs AS c LEFT JOIN maskl_class_intervals(t, run_a, run_b, truth, prediction, step, key, resamples) AS i
  ON i.at_step = c.meets AND i.of_image = c.image_column AND i.of_class = c.class_name
WHERE maskl_have_pair(t, truth, prediction, run_a, run_b)
UNION ALL
SELECT named, named, counted, counted, named, named, scored, scored, scored, scored, scored, counted, counted, counted,
       counted, counted
FROM maskl_wrong_names(t, truth, prediction)
ORDER BY step_a, step_b, image_column, change, class_name;

-- The means of two runs side by side, one row for each: mean_iou and the others that the macro mean_iou has.
CREATE OR REPLACE MACRO compare_means(t, run_a, run_b, truth := 'ground_truth', prediction := 'predictions', step := 'last', exclude := [], key := NULL, resamples := 0) AS TABLE
WITH means AS MATERIALIZED (
    SELECT run_id, _step, maskl_meets(step, _step) AS meets, image_column, n_rows, n_left_out,
           unnest(maskl_metrics()) AS metric,
           unnest([mean_iou, mean_dice, mean_accuracy, frequency_weighted_iou, pixel_accuracy]) AS mean_of
    FROM maskl_means(t, truth, prediction, step, exclude)
    WHERE run_id IN (maskl_run_id(run_a), maskl_run_id(run_b))
)
SELECT a.run_id AS run_id_a, b.run_id AS run_id_b, a._step AS step_a, b._step AS step_b, a.image_column, a.metric,
       a.mean_of AS mean_a, b.mean_of AS mean_b, b.mean_of - a.mean_of AS change, i.low AS change_low,
       i.high AS change_high, CAST(CASE WHEN resamples > 0 THEN coalesce(i.n_units, 0) END AS BIGINT) AS n_matched,
       a.n_rows AS n_rows_a, a.n_left_out AS n_left_out_a, b.n_rows AS n_rows_b, b.n_left_out AS n_left_out_b
FROM means AS a JOIN means AS b ON b.image_column = a.image_column AND b.metric = a.metric AND b.meets = a.meets
LEFT JOIN maskl_change_intervals(t, run_a, run_b, truth, prediction, step, exclude, key, resamples) AS i
  ON i.at_step = a.meets AND i.of_image = a.image_column AND i.of_metric = a.metric
WHERE a.run_id = maskl_run_id(run_a) AND b.run_id = maskl_run_id(run_b)
  AND maskl_have_pair(t, truth, prediction, run_a, run_b)
UNION ALL
SELECT named, named, counted, counted, named, named, scored, scored, scored, scored, scored, counted, counted, counted,
       counted, counted
FROM maskl_wrong_names(t, truth, prediction)
ORDER BY step_a, step_b, image_column, metric;
