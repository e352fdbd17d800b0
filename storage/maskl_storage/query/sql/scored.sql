-- Metrics of what was computed of rows after they were logged, which maskl score does. Counts and sums add up over the
-- rows; percentiles do not, and stand as the mean of the rows'. A metric that was computed with several parameters is
-- asked for with those that are meant.

-- Whether parameters, as JSON text, are those that were asked for; NULL asks for any.
CREATE OR REPLACE MACRO maskl_is_wanted(said, wanted) AS
    coalesce(len([n FOR n IN map_keys(wanted)
                  IF map_extract(wanted, n)[1] <> TRY_CAST(regexp_extract(said, '"' || n || '":([^,}]+)', 1) AS DOUBLE)]), 0) = 0;

-- A metric's scores of a table, per row.
CREATE OR REPLACE MACRO maskl_scored(t, truth, prediction, of_metric, wanted, step) AS TABLE
SELECT run_id, run_name, maskl_step_of(step, _step) AS _step, _row, image_column, class_name, name, value, params
FROM maskl_pixel_scores LEFT JOIN maskl_last_steps(t, step) USING (run_id)
WHERE table_name = t AND truth_key = truth AND prediction_key = prediction AND metric_name = of_metric
  AND maskl_is_wanted(params, wanted) AND maskl_in_step(step, _step, last_step);

-- No row, or an error where the names are wrong, nothing was computed yet, or with several parameters.
CREATE OR REPLACE MACRO maskl_unscored(t, truth, prediction, of_metric, wanted) AS TABLE
SELECT CAST(error(problem) AS VARCHAR) AS named, CAST(error(problem) AS BIGINT) AS counted,
       CAST(error(problem) AS DOUBLE) AS scored
FROM (
    SELECT CASE WHEN NOT maskl_is_known(t, truth, prediction) THEN maskl_problem(t, truth, prediction)
                WHEN several = 0 AND others = 0
                THEN 'table ''' || t || ''' has no scores of ''' || coalesce(of_metric, 'NULL') || ''' of the masks ''' ||
                     truth || ''' and ''' || prediction || ''': compute them with maskl score ' ||
                     coalesce(of_metric, 'METRIC') || ' --table ''' || t || '''' ||
                     CASE WHEN truth <> 'ground_truth' THEN ' --truth ''' || truth || '''' ELSE '' END ||
                     CASE WHEN prediction <> 'predictions' THEN ' --prediction ''' || prediction || '''' ELSE '' END
                ELSE 'table ''' || t || ''' has scores of ''' || of_metric || ''' with ' ||
                     CASE WHEN several = 0 THEN 'other parameters: ' || others_said
                          ELSE 'several parameters: ' || said END || '; name those that are meant, or compute others with maskl score'
           END AS problem
    FROM (
        SELECT count(DISTINCT params) FILTER (maskl_is_wanted(params, wanted)) AS several,
               string_agg(DISTINCT params, ', ' ORDER BY params) FILTER (maskl_is_wanted(params, wanted)) AS said,
               count(DISTINCT params) AS others, string_agg(DISTINCT params, ', ' ORDER BY params) AS others_said
        FROM maskl_pixel_scores
        WHERE table_name = t AND truth_key = truth AND prediction_key = prediction AND metric_name = of_metric
    )
    WHERE several <> 1 OR NOT maskl_is_known(t, truth, prediction)
)
WHERE CAST(error(problem) AS BOOLEAN);

-- Segments of each class that were found, invented and missed, and how well those that were found were.
CREATE OR REPLACE MACRO maskl_segments(t, truth, prediction, step) AS TABLE
SELECT run_id, run_name, _step, _row, image_column, class_name,
       CAST(sum(value) FILTER (name = 'tp') AS BIGINT) AS tp, CAST(sum(value) FILTER (name = 'fp') AS BIGINT) AS fp,
       CAST(sum(value) FILTER (name = 'fn') AS BIGINT) AS fn, sum(value) FILTER (name = 'iou_sum') AS iou_sum,
       max(value) FILTER (name = 'isthing') AS isthing
FROM maskl_scored(t, truth, prediction, 'panoptic', MAP {'': CAST(NULL AS DOUBLE)}, step)
WHERE class_name IS NOT NULL GROUP BY ALL;

-- Panoptic quality of each class, and of each run, step and image column the counts that it is made of.
CREATE OR REPLACE MACRO panoptic_quality(t, truth := 'ground_truth', prediction := 'predictions', step := 'each') AS TABLE
SELECT run_id, run_name, _step, image_column, class_name, maskl_quality(iou_sum, tp, fp, fn) AS pq,
       maskl_segmentation(iou_sum, tp) AS sq, maskl_dice(tp, fp, fn) AS rq, tp, fp, fn, iou_sum
FROM (
    SELECT run_id, run_name, _step, image_column, class_name, CAST(sum(tp) AS BIGINT) AS tp, CAST(sum(fp) AS BIGINT) AS fp,
           CAST(sum(fn) AS BIGINT) AS fn, sum(iou_sum) AS iou_sum
    FROM maskl_segments(t, truth, prediction, step) GROUP BY ALL
)
UNION ALL
SELECT named, named, counted, named, named, scored, scored, scored, counted, counted, counted, scored
FROM maskl_unscored(t, truth, prediction, 'panoptic', MAP {'': CAST(NULL AS DOUBLE)});

-- The same of each row.
CREATE OR REPLACE MACRO row_panoptic_quality(t, truth := 'ground_truth', prediction := 'predictions', step := 'each') AS TABLE
SELECT run_id, run_name, _step, _row, image_column, class_name, maskl_quality(iou_sum, tp, fp, fn) AS pq,
       maskl_segmentation(iou_sum, tp) AS sq, maskl_dice(tp, fp, fn) AS rq, tp, fp, fn, iou_sum
FROM maskl_segments(t, truth, prediction, step)
UNION ALL
SELECT named, named, counted, counted, named, named, scored, scored, scored, counted, counted, counted, scored
FROM maskl_unscored(t, truth, prediction, 'panoptic', MAP {'': CAST(NULL AS DOUBLE)});

-- Means over the classes that have a segment: over all, and where class sets say so over things and over stuff. A class
-- without a match has an SQ of 0 in its mean, as the official evaluator has it.
CREATE OR REPLACE MACRO mean_panoptic_quality(t, truth := 'ground_truth', prediction := 'predictions', step := 'each', exclude := []) AS TABLE
WITH known AS (
    SELECT run_id, _step, image_column, class_name, max(isthing) AS isthing
    FROM maskl_segments(t, truth, prediction, step) GROUP BY ALL
), scored AS (
    SELECT q.*, isthing
    FROM panoptic_quality(t, truth := truth, prediction := prediction, step := step) AS q
    LEFT JOIN known AS k ON k.run_id = q.run_id AND k._step IS NOT DISTINCT FROM q._step
                        AND k.image_column = q.image_column AND k.class_name = q.class_name
    WHERE pq IS NOT NULL AND NOT maskl_is_left_out(q.class_name, exclude)
), grouped AS (
    SELECT 'all' AS classes, * FROM scored
    UNION ALL
    SELECT CASE WHEN isthing = 1 THEN 'things' ELSE 'stuff' END, * FROM scored WHERE isthing IS NOT NULL
)
SELECT run_id, run_name, _step, image_column, classes, avg(pq) AS pq, avg(coalesce(sq, 0)) AS sq, avg(rq) AS rq,
       count(*) AS n_classes
FROM grouped GROUP BY ALL;

-- Pixels near the boundaries of each class, those that both masks have and those that one has.
CREATE OR REPLACE MACRO maskl_boundaries(t, truth, prediction, step, dilation_ratio) AS TABLE
SELECT run_id, run_name, _step, _row, image_column, class_name,
       CAST(sum(value) FILTER (name = 'intersection') AS BIGINT) AS intersection,
       CAST(sum(value) FILTER (name = 'union') AS BIGINT) AS n_union
FROM maskl_scored(t, truth, prediction, 'boundary', MAP {'dilation_ratio': CAST(dilation_ratio AS DOUBLE)}, step)
WHERE class_name IS NOT NULL GROUP BY ALL;

-- Boundary IoU of each class: intersections and unions are summed over rows, and then divided.
CREATE OR REPLACE MACRO boundary_iou(t, truth := 'ground_truth', prediction := 'predictions', step := 'each', dilation_ratio := NULL) AS TABLE
SELECT run_id, run_name, _step, image_column, class_name, intersection / nullif(n_union, 0) AS boundary_iou, intersection, n_union
FROM (
    SELECT run_id, run_name, _step, image_column, class_name, CAST(sum(intersection) AS BIGINT) AS intersection,
           CAST(sum(n_union) AS BIGINT) AS n_union
    FROM maskl_boundaries(t, truth, prediction, step, dilation_ratio) GROUP BY ALL
)
UNION ALL
SELECT named, named, counted, named, named, scored, counted, counted
FROM maskl_unscored(t, truth, prediction, 'boundary', MAP {'dilation_ratio': CAST(dilation_ratio AS DOUBLE)});

-- The same of each row.
CREATE OR REPLACE MACRO row_boundary_iou(t, truth := 'ground_truth', prediction := 'predictions', step := 'each', dilation_ratio := NULL) AS TABLE
SELECT run_id, run_name, _step, _row, image_column, class_name, intersection / nullif(n_union, 0) AS boundary_iou, intersection, n_union
FROM maskl_boundaries(t, truth, prediction, step, dilation_ratio)
UNION ALL
SELECT named, named, counted, counted, named, named, scored, counted, counted
FROM maskl_unscored(t, truth, prediction, 'boundary', MAP {'dilation_ratio': CAST(dilation_ratio AS DOUBLE)});

-- The mean over the classes that have a boundary.
CREATE OR REPLACE MACRO mean_boundary_iou(t, truth := 'ground_truth', prediction := 'predictions', step := 'each', dilation_ratio := NULL, exclude := []) AS TABLE
SELECT run_id, run_name, _step, image_column, maskl_mean(boundary_iou, class_name, exclude) AS mean_boundary_iou,
       count(boundary_iou) FILTER (NOT maskl_is_left_out(class_name, exclude)) AS n_classes
FROM boundary_iou(t, truth := truth, prediction := prediction, step := step, dilation_ratio := dilation_ratio)
GROUP BY run_id, run_name, _step, image_column;

-- Lengths and distances of the contours of each class.
CREATE OR REPLACE MACRO maskl_surfaces(t, truth, prediction, step, within, percentile) AS TABLE
SELECT run_id, run_name, _step, _row, image_column, class_name,
       TRY_CAST(regexp_extract(any_value(params), '"tolerance":([^,}]+)', 1) AS DOUBLE) AS up_to,
       sum(value) FILTER (name = 'overlap') AS overlap, sum(value) FILTER (name = 'length') AS length,
       sum(value) FILTER (name = 'distance_sum') AS distance_sum,
       sum(value) FILTER (name = 'distance_length') AS distance_length, max(value) FILTER (name = 'hausdorff') AS hausdorff
FROM maskl_scored(t, truth, prediction, 'surface',
                  MAP {'tolerance': CAST(within AS DOUBLE), 'percentile': CAST(percentile AS DOUBLE)}, step)
WHERE class_name IS NOT NULL GROUP BY run_id, run_name, _step, _row, image_column, class_name;

-- Surface Dice and distances of each class. Lengths and sums are summed over rows, and then divided; the Hausdorff
-- distance is the mean of the rows', since percentiles do not add up.
CREATE OR REPLACE MACRO surface_scores(t, truth := 'ground_truth', prediction := 'predictions', step := 'each', within := NULL, percentile := NULL) AS TABLE
SELECT run_id, run_name, _step, image_column, class_name, any_value(up_to) AS tolerance,
       sum(overlap) / nullif(sum(length), 0) AS surface_dice, avg(hausdorff) AS hausdorff,
       sum(distance_sum) / nullif(sum(distance_length), 0) AS average_surface_distance
FROM maskl_surfaces(t, truth, prediction, step, within, percentile)
GROUP BY run_id, run_name, _step, image_column, class_name
UNION ALL
SELECT named, named, counted, named, named, scored, scored, scored, scored
FROM maskl_unscored(t, truth, prediction, 'surface',
                    MAP {'tolerance': CAST(within AS DOUBLE), 'percentile': CAST(percentile AS DOUBLE)});

-- The same of each row.
CREATE OR REPLACE MACRO row_surface_scores(t, truth := 'ground_truth', prediction := 'predictions', step := 'each', within := NULL, percentile := NULL) AS TABLE
SELECT run_id, run_name, _step, _row, image_column, class_name, up_to AS tolerance, overlap / nullif(length, 0) AS surface_dice,
       hausdorff, distance_sum / nullif(distance_length, 0) AS average_surface_distance
FROM maskl_surfaces(t, truth, prediction, step, within, percentile)
UNION ALL
SELECT named, named, counted, counted, named, named, scored, scored, scored, scored
FROM maskl_unscored(t, truth, prediction, 'surface',
                    MAP {'tolerance': CAST(within AS DOUBLE), 'percentile': CAST(percentile AS DOUBLE)});

-- Segments of each class that match at a threshold.
CREATE OR REPLACE MACRO instance_matches(t, truth := 'ground_truth', prediction := 'predictions', step := 'each', threshold := NULL) AS TABLE
SELECT run_id, run_name, _step, image_column, class_name, maskl_dice(tp, fp, fn) AS f1, maskl_share(tp, fp) AS "precision",
       maskl_share(tp, fn) AS recall, tp, fp, fn
FROM (
    SELECT run_id, run_name, _step, image_column, class_name, CAST(sum(value) FILTER (name = 'tp') AS BIGINT) AS tp,
           CAST(sum(value) FILTER (name = 'fp') AS BIGINT) AS fp, CAST(sum(value) FILTER (name = 'fn') AS BIGINT) AS fn
    FROM maskl_scored(t, truth, prediction, 'instances', MAP {'threshold': CAST(threshold AS DOUBLE)}, step)
    WHERE class_name IS NOT NULL GROUP BY run_id, run_name, _step, image_column, class_name
)
UNION ALL
SELECT named, named, counted, named, named, scored, scored, scored, counted, counted, counted
FROM maskl_unscored(t, truth, prediction, 'instances', MAP {'threshold': CAST(threshold AS DOUBLE)});

-- Any metric's values, and so those of one's own: their mean, sum and ends over the rows that have them.
CREATE OR REPLACE MACRO pixel_scores(t, metric, truth := 'ground_truth', prediction := 'predictions', step := 'each') AS TABLE
SELECT run_id, run_name, _step, image_column, class_name, name, avg(value) AS mean, sum(value) AS sum, min(value) AS min,
       max(value) AS max, count(value) AS n_rows
FROM maskl_scored(t, truth, prediction, metric, MAP {'': CAST(NULL AS DOUBLE)}, step)
WHERE name IS NOT NULL GROUP BY run_id, run_name, _step, image_column, class_name, name
UNION ALL
SELECT named, named, counted, named, named, named, scored, scored, scored, scored, counted
FROM maskl_unscored(t, truth, prediction, metric, MAP {'': CAST(NULL AS DOUBLE)});

-- The same of each row.
CREATE OR REPLACE MACRO row_pixel_scores(t, metric, truth := 'ground_truth', prediction := 'predictions', step := 'each') AS TABLE
SELECT run_id, run_name, _step, _row, image_column, class_name, name, value
FROM maskl_scored(t, truth, prediction, metric, MAP {'': CAST(NULL AS DOUBLE)}, step)
WHERE name IS NOT NULL
UNION ALL
SELECT named, named, counted, counted, named, named, named, scored
FROM maskl_unscored(t, truth, prediction, metric, MAP {'': CAST(NULL AS DOUBLE)});
