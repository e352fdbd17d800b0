-- Metrics of single rows, of pairs of classes, and of the rows of two runs; see macros.sql.

-- Whether a row's masks have names in common, or others of its run, step and column do; an error where they have
-- not. It stands in WHERE: a column that a query does not ask for is never computed.
CREATE OR REPLACE MACRO maskl_is_named(t, truth, prediction, of_run, here, elsewhere) AS
    CASE WHEN here OR elsewhere IS NOT NULL THEN true ELSE maskl_no_names(t, truth, prediction, of_run) END;

-- The means of each row over the classes that are in its truth or prediction.
CREATE OR REPLACE MACRO row_iou(t, truth := 'ground_truth', prediction := 'predictions', step := 'each') AS TABLE
SELECT s.run_id, s.table_name, s._step, s._row, s.image_column,
       s.mean_iou, s.mean_dice, s.pixel_accuracy
FROM scores AS s LEFT JOIN maskl_last_steps(t, step) AS l ON l.run_id = s.run_id
LEFT JOIN maskl_shared(t, truth, prediction, 'each') AS g
  ON g.run_id = s.run_id AND g._step = s._step AND g.image_column = s.image_column
WHERE s.table_name = t AND s.truth_key = truth AND s.prediction_key = prediction
  AND maskl_in_step(step, s._step, l.last_step)
  AND maskl_is_named(t, truth, prediction, s.run_id, s.names_in_common, g.run_id)
UNION ALL
SELECT run_id, t, _step, counted, image_column, counted, counted, counted
FROM maskl_complaints(t, truth, prediction, step);

-- The counts of each row and class of its truth that is not ignored; iou(tp, fp, fn) regroups them.
CREATE OR REPLACE MACRO row_class_iou(t, truth := 'ground_truth', prediction := 'predictions', step := 'each') AS TABLE
WITH known AS (
    SELECT s.run_id, s.table_name, s._step, s._row, s.image_column, s.class_name, s.tp, s.fp, s.fn
    FROM class_scores AS s LEFT JOIN maskl_last_steps(t, step) AS l ON l.run_id = s.run_id
    LEFT JOIN maskl_shared(t, truth, prediction, 'each') AS g
      ON g.run_id = s.run_id AND g._step = s._step AND g.image_column = s.image_column
    WHERE s.table_name = t AND s.truth_key = truth AND s.prediction_key = prediction
      AND maskl_in_step(step, s._step, l.last_step)
      AND maskl_is_named(t, truth, prediction, s.run_id, s.names_in_common, g.run_id)
    UNION ALL
    SELECT run_id, t, _step, counted, image_column, named, counted, counted, counted
    FROM maskl_complaints(t, truth, prediction, step)
)
SELECT run_id, table_name, _step, _row, image_column, class_name, tp, fp, fn,
       maskl_iou(tp, fp, fn) AS iou, maskl_dice(tp, fp, fn) AS dice
FROM known;

-- Which classes of the truth were predicted as what: pixels, and their share of the truth's class.
CREATE OR REPLACE MACRO confusion_matrix(t, truth := 'ground_truth', prediction := 'predictions', step := 'each') AS TABLE
WITH summed AS (
    SELECT run_id, _step, image_column, truth_class, prediction_class, sum(pixels) AS pixels
    FROM maskl_pairs(t, truth, prediction, step) WHERE NOT truth_ignored GROUP BY ALL
    UNION ALL
    SELECT run_id, _step, image_column, named, named, counted FROM maskl_complaints(t, truth, prediction, step)
)
SELECT run_id, maskl_run_name(run_id) AS run_name, _step, image_column, truth_class, prediction_class,
       CAST(pixels AS BIGINT) AS pixels,
       CAST(pixels / sum(pixels) OVER (PARTITION BY run_id, _step, image_column, truth_class) AS DOUBLE) AS share
FROM summed
ORDER BY run_id, _step, image_column, truth_class, pixels DESC, prediction_class;

-- In how many images two classes occur together, and in what share of those that have class_a.
CREATE OR REPLACE MACRO cooccurrence(t, mask := 'ground_truth', step := 'each') AS TABLE
WITH named AS (
    SELECT DISTINCT class_name FROM class_totals WHERE table_name = t AND mask_key = mask AND NOT ignored
), numbered AS (
    SELECT class_name, CAST(row_number() OVER () - 1 AS INTEGER) AS bit, CAST(count(*) OVER () AS INTEGER) AS bits
    FROM named
), rows_with AS (  -- one bit a class: many rows show the same classes, and are counted together
    SELECT run_id, maskl_step_of(step, _step) AS _step, image_column, _row,
           bit_or(set_bit(bitstring('0', bits), bit, 1)) AS classes
    FROM class_pixels JOIN numbered USING (class_name) LEFT JOIN maskl_last_steps(t, step) USING (run_id)
    WHERE table_name = t AND mask_key = mask AND pixels > 0 AND NOT ignored AND maskl_in_step(step, _step, last_step)
    GROUP BY ALL
), patterns AS (
    SELECT run_id, _step, image_column, classes, count(*) AS n_rows FROM rows_with GROUP BY ALL
), together AS (
    SELECT p.*, a.class_name AS class_a, b.class_name AS class_b
    FROM patterns AS p JOIN numbered AS a ON get_bit(p.classes, a.bit) = 1
    JOIN numbered AS b ON get_bit(p.classes, b.bit) = 1
), counted AS (
    SELECT run_id, _step, image_column, class_a, class_b, sum(n_rows) AS n_rows FROM together GROUP BY ALL
), shared AS (
    SELECT *, max(n_rows) OVER (PARTITION BY run_id, _step, image_column, class_a) AS n_rows_a FROM counted
    UNION ALL
    SELECT named, counted, named, named, named, counted, counted FROM maskl_wrong_names(t, mask, mask)
)
SELECT run_id, maskl_run_name(run_id) AS run_name, _step, image_column, class_a, class_b,
       CAST(n_rows AS BIGINT) AS n_rows, CAST(n_rows / n_rows_a AS DOUBLE) AS share
FROM shared WHERE class_a <> class_b
ORDER BY run_id, _step, image_column, class_a, n_rows DESC, class_b;

-- The run that a name means: an id, else a name, else the beginning of an id.
CREATE OR REPLACE MACRO maskl_only(found, wanted) AS
    CASE len(found) WHEN 1 THEN found[1]
         WHEN 0 THEN error('there is no run ''' || wanted || '''; FROM runs lists them')
         ELSE error('''' || wanted || ''' names ' || len(found) || ' runs: ' || array_to_string(found, ', ') ||
                    ': give one of these ids') END;

CREATE OR REPLACE MACRO maskl_run_id(wanted) AS
    CASE WHEN list_contains(map_keys(maskl_run_names()), wanted) THEN wanted
         WHEN list_contains(map_values(maskl_run_names()), wanted)
         THEN maskl_only([e.key FOR e IN map_entries(maskl_run_names()) IF e.value = wanted], wanted)
         ELSE maskl_only([k FOR k IN map_keys(maskl_run_names()) IF starts_with(k, wanted)], wanted) END;

-- What a run is compared by: a row of one run is met by the other's of the same step, or of its last one.
CREATE OR REPLACE MACRO maskl_meets(chosen, this_one) AS
    CASE WHEN CAST(chosen AS VARCHAR) = 'last' THEN 0 ELSE coalesce(this_one, 0) END;

-- Whether two runs have both masks in a table; an error where one has not, since no rows would look like no change.
CREATE OR REPLACE MACRO maskl_have_pair(t, truth, prediction, run_a, run_b) AS (
    SELECT CASE WHEN of_a = wanted AND of_b = wanted THEN true
                ELSE error(CASE WHEN maskl_is_known(t, truth, prediction)
                                THEN 'run ''' || maskl_run_id(CASE WHEN of_a = wanted THEN run_b ELSE run_a END) ||
                                     ''' has no masks ''' || truth || ''' and ''' || prediction ||
                                     ''' in a table ''' || t || ''''
                                ELSE maskl_problem(t, truth, prediction) END) END
    FROM (
        SELECT count(DISTINCT mask_key) FILTER (run_id = maskl_run_id(run_a)) AS of_a,
               count(DISTINCT mask_key) FILTER (run_id = maskl_run_id(run_b)) AS of_b,
               CASE WHEN truth = prediction THEN 1 ELSE 2 END AS wanted
        FROM class_totals WHERE table_name = t AND mask_key IN (truth, prediction)
          AND run_id IN (maskl_run_id(run_a), maskl_run_id(run_b))
    ));

-- Whether one of two runs has a class; an error where neither has, since no rows would look like no change.
CREATE OR REPLACE MACRO maskl_has_class(t, run_a, run_b, class) AS (
    SELECT CASE WHEN class IS NULL OR coalesce(bool_or(class_name = class), false) THEN true
                ELSE error('table ''' || t || ''' has no class ''' || class || ''' in these runs; they have: ' ||
                           coalesce(string_agg(DISTINCT '''' || class_name || '''', ', ' ORDER BY '''' || class_name || ''''), 'none')) END
    FROM class_totals WHERE table_name = t AND run_id IN (maskl_run_id(run_a), maskl_run_id(run_b)));

-- The rows of two runs that show the same: run_id and _row are run_b's. The score is the mean IoU,
-- or the IoU of one class. Rows are matched by key, a column, else by the table's primary key, else
-- by its input columns, else by the image.
CREATE OR REPLACE MACRO compare_rows(t, run_a, run_b, class := NULL, key := NULL, truth := 'ground_truth', prediction := 'predictions', step := 'last') AS TABLE
WITH scored AS (
    SELECT run_id, table_name, _step, _row, image_column, mean_iou AS score
    FROM row_iou(t, truth := truth, prediction := prediction, step := step)
    WHERE class IS NULL AND run_id IN (maskl_run_id(run_a), maskl_run_id(run_b))
    UNION ALL
    SELECT run_id, table_name, _step, _row, image_column, iou
    FROM row_class_iou(t, truth := truth, prediction := prediction, step := step)
    WHERE class_name = class AND run_id IN (maskl_run_id(run_a), maskl_run_id(run_b))
), keyed AS (
    SELECT s.*, maskl_meets(step, s._step) AS meets, k.row_key,
           CASE WHEN k.row_key IS NOT NULL
                 AND count(*) OVER (PARTITION BY s.run_id, maskl_meets(step, s._step), s.image_column, k.row_key) > 1
                THEN error('table ''' || t || ''': several rows of run ''' || s.run_id || ''' have the same ' ||
                           coalesce(key, 'primary key, inputs or image') || ', ' || k.row_key ||
                           ': name a column that tells them apart with key := ''<column>''')
                ELSE true END AS is_single
    FROM scored AS s JOIN maskl_row_keys(t, key) AS k
      ON k.run_id = s.run_id AND k._row = s._row AND k.image_column = s.image_column
)
SELECT b.run_id, b.table_name, b._row, b.image_column, b.row_key, a.score AS iou_a, b.score AS iou_b,
       b.score - a.score AS change, a.run_id AS run_id_a, a._row AS row_a, a._step AS step_a, b._step AS step_b
FROM keyed AS a JOIN keyed AS b ON b.row_key = a.row_key AND b.image_column = a.image_column AND b.meets = a.meets
WHERE a.run_id = maskl_run_id(run_a) AND b.run_id = maskl_run_id(run_b) AND a.is_single AND b.is_single
  AND maskl_have_pair(t, truth, prediction, run_a, run_b)
  AND maskl_has_class(t, run_a, run_b, class)
UNION ALL
SELECT named, named, counted, named, named, scored, scored, scored, named, counted, counted, counted
FROM maskl_wrong_names(t, truth, prediction);
