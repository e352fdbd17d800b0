-- The counts of each row and class from the confusion: for classes that a class map joined, and for files that
-- were written before counts were stored. The words with a dollar stand for relations.
WITH pairs AS (
    SELECT run_id, table_name, _row, image_column, truth_key, prediction_key, truth_class, prediction_class,
           prediction_in_truth, truth_in_prediction, truth_ignored, pixels
    FROM $pairs AS p
), sizes AS (
    SELECT * FROM $sizes AS s
), counts AS (
    SELECT s.run_id, s.table_name, s._row, s.image_column, s.truth_key, s.prediction_key, m.class_name,
           0 AS tp, 0 AS fp, 0 AS fn, NOT m.ignored AS is_class, m.ignored
    FROM sizes AS s JOIN $masks AS m ON m.run_id = s.run_id AND m.table_name = s.table_name AND m._row = s._row
     AND m.image_column = s.image_column AND m.mask_key = s.truth_key
    UNION ALL
    SELECT run_id, table_name, _row, image_column, truth_key, prediction_key, truth_class,
           CASE WHEN truth_class = prediction_class THEN pixels ELSE 0 END, 0,
           CASE WHEN truth_class = prediction_class THEN 0 ELSE pixels END, true, false
    FROM pairs WHERE NOT truth_ignored
    UNION ALL
    SELECT run_id, table_name, _row, image_column, truth_key, prediction_key, prediction_class, 0, pixels, 0, false, false
    FROM pairs WHERE prediction_in_truth AND truth_class <> prediction_class AND NOT truth_ignored
), classes AS (  -- a prediction of a class that the truth ignores makes no class of its own
    SELECT run_id, table_name, _row, image_column, truth_key, prediction_key, class_name,
           CAST(sum(tp) AS BIGINT) AS tp, CAST(sum(fp) AS BIGINT) AS fp, CAST(sum(fn) AS BIGINT) AS fn
    FROM counts GROUP BY run_id, table_name, _row, image_column, truth_key, prediction_key, class_name
    HAVING bool_or(is_class) OR NOT bool_or(ignored)
), named AS (
    SELECT run_id, table_name, _row, image_column, truth_key, prediction_key,
           bool_or(prediction_in_truth OR truth_in_prediction) AS names_in_common
    FROM pairs GROUP BY ALL
)
SELECT run_id, maskl_run_name(run_id) AS run_name, table_name, _row, s._step, image_column, truth_key, prediction_key,
       c.class_name, CASE WHEN s.same_size THEN c.tp END AS tp, CASE WHEN s.same_size THEN c.fp END AS fp,
       CASE WHEN s.same_size THEN c.fn END AS fn, coalesce(n.names_in_common, true) AS names_in_common
FROM sizes AS s
JOIN classes AS c USING (run_id, table_name, _row, image_column, truth_key, prediction_key)
LEFT JOIN named AS n USING (run_id, table_name, _row, image_column, truth_key, prediction_key)
