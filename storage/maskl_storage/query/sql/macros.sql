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

-- Names that are not there are errors, since no rows would look like a good answer. What there is stands in the seals:
-- each table, and the masks of its image columns; of a store that was opened for some runs also those of the others,
-- whose rows are not seen, and which no message names.
CREATE OR REPLACE MACRO maskl_is_known(t, truth, prediction) AS
    coalesce(len([m FOR m IN maskl_names() IF m[1] = t AND list_contains(m[2:], truth) AND list_contains(m[2:], prediction)]) > 0, false);

CREATE OR REPLACE MACRO maskl_problem(t, truth, prediction) AS
    CASE WHEN coalesce(len([m FOR m IN maskl_names() IF m[1] = t]), 0) = 0
         THEN 'there is no table ''' || coalesce(CAST(t AS VARCHAR), 'NULL') || '''; there are: ' || maskl_tables()
         ELSE 'table ''' || CAST(t AS VARCHAR) || ''' has no image with ' ||
              CASE WHEN truth = prediction THEN 'a mask ' ELSE 'the masks ''' || coalesce(CAST(truth AS VARCHAR), 'NULL') || ''' and ' END ||
              '''' || coalesce(CAST(prediction AS VARCHAR), 'NULL') || '''; it has: ' ||
              coalesce(map_extract(maskl_masks(), CAST(t AS VARCHAR))[1], 'none') END;

-- No row, or the error about such names. It stands in WHERE and in every column: a filter on a column of constants
-- would drop the row before the error is seen, and a column that nobody asks for is not computed.
CREATE OR REPLACE MACRO maskl_wrong_names(t, truth, prediction) AS TABLE
SELECT CAST(error(problem) AS VARCHAR) AS named, CAST(error(problem) AS BIGINT) AS counted,
       CAST(error(problem) AS BOOLEAN) AS is_so, CAST(error(problem) AS DOUBLE) AS scored
FROM (SELECT maskl_problem(t, truth, prediction) AS problem WHERE NOT maskl_is_known(t, truth, prediction))
WHERE CAST(error(problem) AS BOOLEAN);

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
-- is not ignored; what is predicted never hides a pixel. Without a class's name: how many masks and pixels both
-- masks have; both_pixels are those of the rows whose masks were compared.
CREATE OR REPLACE MACRO maskl_counts(t, truth, prediction, step) AS TABLE
WITH pairs AS MATERIALIZED (
    FROM maskl_pairs(t, truth, prediction, step)
), known AS (
    SELECT run_id, maskl_step_of(step, _step) AS _step, image_column, class_name, 0 AS tp, 0 AS fp, 0 AS fn,
           class_id IS NOT NULL AND mask_key = truth AS in_truth,
           class_id IS NOT NULL AND mask_key = prediction AS in_prediction, false AS may_share, false AS is_pair,
           class_id IS NOT NULL AND mask_key = truth AND NOT ignored AS is_class, false AS is_predicted,
           class_id IS NOT NULL AND mask_key = truth AND ignored AS is_hidden,
           CASE WHEN class_id IS NULL AND mask_key = truth THEN masks END AS truth_masks,
           CASE WHEN class_id IS NULL AND mask_key = prediction THEN masks END AS prediction_masks,
           CASE WHEN class_id IS NULL AND mask_key = truth THEN pixels END AS truth_pixels,
           CASE WHEN class_id IS NULL AND mask_key = prediction THEN pixels END AS prediction_pixels,
           0 AS both_pixels
    FROM class_totals LEFT JOIN maskl_last_steps(t, step) USING (run_id)
    WHERE table_name = t AND mask_key IN (truth, prediction) AND maskl_in_step(step, _step, last_step)
    UNION ALL
    SELECT run_id, _step, image_column, truth_class,
           CASE WHEN NOT truth_ignored AND truth_class = prediction_class THEN pixels ELSE 0 END, 0,
           CASE WHEN NOT truth_ignored AND truth_class <> prediction_class THEN pixels ELSE 0 END,
           false, false, prediction_in_truth OR truth_in_prediction, true,
           NOT truth_ignored, false, false, NULL, NULL, NULL, NULL, pixels
    FROM pairs
    UNION ALL
    SELECT run_id, _step, image_column, prediction_class, 0, pixels, 0, false, false, false, true, false, true, false,
           NULL, NULL, NULL, NULL, 0
    FROM pairs WHERE NOT truth_ignored AND prediction_in_truth AND truth_class <> prediction_class
)
SELECT run_id, _step, image_column, class_name, sum(tp) AS tp, sum(fp) AS fp, sum(fn) AS fn,
       bool_or(in_truth) AS in_truth, bool_or(in_prediction) AS in_prediction, bool_or(is_pair) AS is_pair,
       bool_or(in_truth) AND bool_or(in_prediction) OR bool_or(may_share) AS is_shared,
       bool_or(is_class) OR bool_or(is_predicted) AND NOT bool_or(is_hidden) AS is_class,
       sum(truth_masks) AS truth_masks, sum(prediction_masks) AS prediction_masks, sum(truth_pixels) AS truth_pixels,
       sum(prediction_pixels) AS prediction_pixels, sum(both_pixels) AS both_pixels
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

-- Of a store whose parts left no pair out, only the names may be wrong: to plan the rest takes as long as to answer.
CREATE OR REPLACE MACRO maskl_complaints(t, truth, prediction, step) AS TABLE
$uncounted
SELECT named AS run_id, counted AS _step, named AS image_column, named, counted
FROM maskl_wrong_names(t, truth, prediction);

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
    UNION ALL
    SELECT named, counted, named, counted, named, is_so, counted, counted, counted, counted, counted
    FROM maskl_wrong_names(t, mask, mask)
)
SELECT run_id, maskl_run_name(run_id) AS run_name, _step, image_column, class_id, class_name, ignored,
       CAST(pixels AS BIGINT) AS pixels, CAST(pixels / all_pixels AS DOUBLE) AS coverage,
       CAST(CASE WHEN NOT ignored THEN pixels / nullif(all_valid, 0) END AS DOUBLE) AS valid_coverage,
       CAST(all_masks AS BIGINT) AS n_rows
FROM counted WHERE class_id IS NOT NULL
ORDER BY run_id, _step, image_column, class_id, class_name;

-- True positives, false positives and false negatives of every class of the truth that is not
-- ignored. A class without a pixel counts 0; where no masks could be compared, nothing is known.
-- n_rows are the rows that were compared. n_left_out have one of the masks, and no other of its size: their scores
-- are looked at only where not all pixels were compared.
CREATE OR REPLACE MACRO class_iou(t, truth := 'ground_truth', prediction := 'predictions', step := 'each') AS TABLE
WITH grouped AS MATERIALIZED (
    SELECT *, bool_or(in_truth) OVER g AND bool_or(in_prediction) OVER g AS has_both,
           bool_or(is_shared) OVER g AS names_agree, bool_or(is_pair) OVER g AS is_counted,
           coalesce(sum(truth_masks) OVER g, 0) AS n_truth, coalesce(sum(prediction_masks) OVER g, 0) AS n_prediction,
           coalesce(sum(truth_pixels) OVER g = sum(both_pixels) OVER g
                    AND sum(prediction_pixels) OVER g = sum(both_pixels) OVER g, false) AS is_whole
    FROM maskl_counts(t, truth, prediction, step)
    WINDOW g AS (PARTITION BY run_id, _step, image_column)
), compared AS (  -- joined first and counted then: where no group is in doubt, no row is read
    SELECT p.of_run, p.of_step, p.of_image, count(*) AS n_both, count(*) FILTER (s.same_size) AS n_same
    FROM maskl_sizes AS s JOIN (
        SELECT DISTINCT run_id AS of_run, _step AS of_step, image_column AS of_image FROM grouped
        WHERE has_both AND NOT is_whole
    ) AS p ON s.run_id = p.of_run AND s.image_column = p.of_image AND (p.of_step IS NULL OR s._step = p.of_step)
    WHERE s.table_name = t AND s.truth_key = truth AND s.prediction_key = prediction
    GROUP BY p.of_run, p.of_step, p.of_image
), filled AS (
    SELECT run_id, _step, image_column, class_name,
           CAST(CASE WHEN is_counted THEN tp END AS BIGINT) AS tp, CAST(CASE WHEN is_counted THEN fp END AS BIGINT) AS fp,
           CAST(CASE WHEN is_counted THEN fn END AS BIGINT) AS fn,
           CAST(CASE WHEN is_whole THEN n_truth ELSE coalesce(n_same, 0) END AS BIGINT) AS n_rows,
           CAST(CASE WHEN is_whole THEN 0
                     ELSE n_truth + n_prediction - coalesce(n_both, 0) - coalesce(n_same, 0) END AS BIGINT) AS n_left_out
    FROM grouped LEFT JOIN compared
      ON of_run = run_id AND of_step IS NOT DISTINCT FROM _step AND of_image = image_column
    WHERE has_both AND is_class
      AND CASE WHEN names_agree OR NOT (is_counted AND has_both AND is_class) THEN true
               ELSE maskl_no_names(t, truth, prediction, run_id) END
    UNION ALL
    SELECT run_id, _step, image_column, named, counted, counted, counted, counted, counted
    FROM maskl_complaints(t, truth, prediction, step)
)
SELECT run_id, maskl_run_name(run_id) AS run_name, _step, image_column, class_name,
       maskl_iou(tp, fp, fn) AS iou, maskl_dice(tp, fp, fn) AS dice,
       maskl_share(tp, fn) AS recall, maskl_share(tp, fp) AS "precision", tp, fp, fn, n_rows, n_left_out
FROM filled
ORDER BY run_id, _step, image_column, class_name;
