-- Metrics over the views; formulas.sql has what is divided by what. No parameter bears the name of a column that its
-- macro touches: it would be read as the column. What begins with maskl_ is for the macros below only.

-- Whether a row of one step belongs to what step := … chose, given its run's last step.
CREATE OR REPLACE MACRO maskl_in_step(chosen, this_one, last_one) AS
    CASE WHEN CAST(chosen AS VARCHAR) IN ('each', 'all') THEN true
         WHEN CAST(chosen AS VARCHAR) = 'last' THEN this_one = last_one
         WHEN regexp_full_match(CAST(chosen AS VARCHAR), '-?[0-9]+')
         THEN this_one = TRY_CAST(CAST(chosen AS VARCHAR) AS BIGINT)
         ELSE error('step must be ''each'', ''last'', ''all'' or a whole number; got ''' ||
                    coalesce(CAST(chosen AS VARCHAR), 'NULL') || '''')
    END;

-- The step that a group stands under: none where a run is summed whole.
CREATE OR REPLACE MACRO maskl_step_of(chosen, this_one) AS
    CASE WHEN CAST(chosen AS VARCHAR) = 'all' THEN NULL ELSE this_one END;

-- Each run's last step of a table, where that is what step := … chose: else no file is read for it.
CREATE OR REPLACE MACRO maskl_last_steps(t, chosen) AS TABLE
SELECT run_id, max(_step) AS last_step FROM class_totals
WHERE table_name = t AND CAST(chosen AS VARCHAR) = 'last' GROUP BY run_id;

-- The joint histogram of two masks, per run, chosen step and image column.
CREATE OR REPLACE MACRO maskl_pairs(t, truth, prediction, step) AS TABLE
SELECT run_id, maskl_step_of(step, _step) AS _step, image_column, truth_class, prediction_class, truth_ignored,
       prediction_in_truth, bool_or(truth_in_prediction) AS truth_in_prediction, sum(pixels) AS pixels
FROM confusion_totals LEFT JOIN maskl_last_steps(t, step) USING (run_id)
WHERE table_name = t AND truth_key = truth AND prediction_key = prediction AND maskl_in_step(step, _step, last_step)
GROUP BY ALL;

-- What is known of each class of two masks, per run, chosen step and image column: whose class it is,
-- whether it is a class of the truth that is not ignored, and its counts. A pixel counts where its truth
-- is not ignored; what is predicted never hides a pixel.
CREATE OR REPLACE MACRO maskl_counts(t, truth, prediction, step) AS TABLE
WITH pairs AS MATERIALIZED (
    FROM maskl_pairs(t, truth, prediction, step)
), known AS (
    SELECT run_id, maskl_step_of(step, _step) AS _step, image_column, class_name, 0 AS tp, 0 AS fp, 0 AS fn,
           mask_key = truth AS in_truth, mask_key = prediction AS in_prediction, false AS may_share, false AS is_pair,
           mask_key = truth AND NOT ignored AS is_class, false AS is_predicted, mask_key = truth AND ignored AS is_hidden
    FROM class_totals LEFT JOIN maskl_last_steps(t, step) USING (run_id)
    WHERE table_name = t AND mask_key IN (truth, prediction) AND class_id IS NOT NULL
      AND maskl_in_step(step, _step, last_step)
    UNION ALL
    SELECT run_id, _step, image_column, truth_class,
           CASE WHEN NOT truth_ignored AND truth_class = prediction_class THEN pixels ELSE 0 END, 0,
           CASE WHEN NOT truth_ignored AND truth_class <> prediction_class THEN pixels ELSE 0 END,
           false, false, prediction_in_truth OR truth_in_prediction, true,
           NOT truth_ignored, false, false
    FROM pairs
    UNION ALL
    SELECT run_id, _step, image_column, prediction_class, 0, pixels, 0, false, false, false, true, false, true, false
    FROM pairs WHERE NOT truth_ignored AND prediction_in_truth AND truth_class <> prediction_class
)
SELECT run_id, _step, image_column, class_name, sum(tp) AS tp, sum(fp) AS fp, sum(fn) AS fn,
       bool_or(in_truth) AS in_truth, bool_or(in_prediction) AS in_prediction, bool_or(is_pair) AS is_pair,
       bool_or(in_truth) AND bool_or(in_prediction) OR bool_or(may_share) AS is_shared,
       bool_or(is_class) OR bool_or(is_predicted) AND NOT bool_or(is_hidden) AS is_class
FROM known GROUP BY run_id, _step, image_column, class_name;

-- Groups (run, step, image column) whose masks have a class name in common, or could.
CREATE OR REPLACE MACRO maskl_shared(t, truth, prediction, step) AS TABLE
SELECT DISTINCT run_id, _step, image_column FROM maskl_counts(t, truth, prediction, step) WHERE is_shared;

CREATE OR REPLACE MACRO maskl_no_names(t, truth, prediction, of_run) AS
    error('table ''' || t || ''': masks ''' || truth || ''' and ''' || prediction || ''' of run ''' || of_run ||
          ''' have no class name in common: give both the same class_labels');

-- Groups with a row whose two masks were not compared, since its image has more than 8: what is said of the others
-- would look as if it was said of all.
CREATE OR REPLACE MACRO maskl_uncounted(t, truth, prediction, step) AS TABLE
WITH both_masks AS (
    SELECT run_id, _row, _step, image_column FROM maskl_paired_masks
    WHERE table_name = t AND mask_key IN (truth, prediction)
    GROUP BY run_id, _row, _step, image_column HAVING count(DISTINCT mask_key) = 2
)
SELECT DISTINCT b.run_id, maskl_step_of(step, b._step) AS _step, b.image_column
FROM both_masks AS b LEFT JOIN maskl_last_steps(t, step) AS l ON l.run_id = b.run_id
WHERE maskl_in_step(step, b._step, l.last_step) AND NOT EXISTS (
    FROM maskl_paired_scores AS s
    WHERE s.table_name = t AND s.truth_key = truth AND s.prediction_key = prediction
      AND s.run_id = b.run_id AND s._row = b._row AND s.image_column = b.image_column
);

-- The error about such a group. It stands in WHERE and in every column that does not name the group: a filter on a
-- column of constants would drop the row before the error is seen, and a column that nobody asks for is not computed.
CREATE OR REPLACE MACRO maskl_not_counted(t, truth, prediction, of_run) AS
    error('table ''' || t || ''': masks ''' || truth || ''' and ''' || prediction || ''' of run ''' || of_run ||
          ''' were not compared in every row: of an image with more than 8 masks, only the pairs with ' ||
          '''ground_truth'' or with a mask that Settings(truth_keys=...) names are counted: log the rows again ' ||
          'with truth_keys=''' || truth || '''');

CREATE OR REPLACE MACRO maskl_complaints(t, truth, prediction, step) AS TABLE
SELECT u.run_id, u._step, u.image_column, CAST(maskl_not_counted(t, truth, prediction, u.run_id) AS VARCHAR) AS named,
       CAST(maskl_not_counted(t, truth, prediction, u.run_id) AS BIGINT) AS counted
FROM maskl_uncounted(t, truth, prediction, step) AS u
WHERE CAST(maskl_not_counted(t, truth, prediction, u.run_id) AS BOOLEAN);

-- Pixels of every class of a mask, per run, step and image column. The denominator is every mask,
-- also those without the class; valid_coverage leaves ignored classes out of both.
CREATE OR REPLACE MACRO class_coverage(t, mask := 'ground_truth', step := 'each') AS TABLE
WITH summed AS (
    SELECT run_id, maskl_step_of(step, _step) AS _step, image_column, class_id, class_name, ignored,
           sum(pixels) AS pixels, sum(masks) AS masks
    FROM class_totals LEFT JOIN maskl_last_steps(t, step) USING (run_id)
    WHERE table_name = t AND mask_key = mask AND maskl_in_step(step, _step, last_step)
    GROUP BY ALL
), counted AS (
    SELECT *, sum(pixels) FILTER (class_id IS NULL) OVER g AS all_pixels,
           sum(pixels) FILTER (NOT ignored) OVER g AS all_valid,
           sum(masks) FILTER (class_id IS NULL) OVER g AS all_masks
    FROM summed WINDOW g AS (PARTITION BY run_id, _step, image_column)
)
SELECT run_id, maskl_run_name(run_id) AS run_name, _step, image_column, class_id, class_name, ignored,
       CAST(pixels AS BIGINT) AS pixels, CAST(pixels / all_pixels AS DOUBLE) AS coverage,
       CAST(CASE WHEN NOT ignored THEN pixels / nullif(all_valid, 0) END AS DOUBLE) AS valid_coverage,
       CAST(all_masks AS BIGINT) AS n_rows
FROM counted WHERE class_id IS NOT NULL
ORDER BY run_id, _step, image_column, class_id, class_name;

-- True positives, false positives and false negatives of every class of the truth that is not
-- ignored. A class without a pixel counts 0; where no masks could be compared, nothing is known.
CREATE OR REPLACE MACRO class_iou(t, truth := 'ground_truth', prediction := 'predictions', step := 'each') AS TABLE
WITH grouped AS (
    SELECT *, bool_or(in_truth) OVER g AND bool_or(in_prediction) OVER g AS has_both,
           bool_or(is_shared) OVER g AS names_agree, bool_or(is_pair) OVER g AS is_counted
    FROM maskl_counts(t, truth, prediction, step)
    WINDOW g AS (PARTITION BY run_id, _step, image_column)
), filled AS (
    SELECT run_id, _step, image_column, class_name,
           CAST(CASE WHEN is_counted THEN tp END AS BIGINT) AS tp, CAST(CASE WHEN is_counted THEN fp END AS BIGINT) AS fp,
           CAST(CASE WHEN is_counted THEN fn END AS BIGINT) AS fn
    FROM grouped WHERE has_both AND is_class
      AND CASE WHEN names_agree OR NOT (is_counted AND has_both AND is_class) THEN true
               ELSE maskl_no_names(t, truth, prediction, run_id) END
    UNION ALL
    SELECT run_id, _step, image_column, named, counted, counted, counted
    FROM maskl_complaints(t, truth, prediction, step)
)
SELECT run_id, maskl_run_name(run_id) AS run_name, _step, image_column, class_name,
       maskl_iou(tp, fp, fn) AS iou, maskl_dice(tp, fp, fn) AS dice,
       maskl_share(tp, fn) AS recall, maskl_share(tp, fp) AS "precision", tp, fp, fn
FROM filled
ORDER BY run_id, _step, image_column, class_name;

-- Means over the classes of class_iou. exclude leaves classes out of the means, while their pixels
-- still count as errors of others and in pixel_accuracy.
CREATE OR REPLACE MACRO mean_iou(t, truth := 'ground_truth', prediction := 'predictions', step := 'each', exclude := []) AS TABLE
SELECT run_id, run_name, _step, image_column,
       maskl_mean(iou, class_name, exclude) AS mean_iou, maskl_mean(dice, class_name, exclude) AS mean_dice,
       maskl_mean(recall, class_name, exclude) AS mean_accuracy,
       maskl_weighted_mean(iou, tp, fn, class_name, exclude) AS frequency_weighted_iou,
       maskl_pixel_accuracy(tp, fn) AS pixel_accuracy
FROM class_iou(t, truth := truth, prediction := prediction, step := step)
GROUP BY run_id, run_name, _step, image_column
ORDER BY run_id, _step, image_column;
