-- The scores of rows from their counts by class. The words with a dollar stand for relations.
SELECT run_id, maskl_run_name(run_id) AS run_name, table_name, _row, any_value(s._step) AS _step, image_column,
       truth_key, prediction_key, avg(maskl_iou(c.tp, c.fp, c.fn)) AS mean_iou,
       avg(maskl_dice(c.tp, c.fp, c.fn)) AS mean_dice, maskl_pixel_accuracy(c.tp, c.fn) AS pixel_accuracy,
       any_value(s.same_size) AS same_size, coalesce(any_value(c.names_in_common), true) AS names_in_common
FROM $sizes AS s
LEFT JOIN $class_scores AS c USING (run_id, table_name, _row, image_column, truth_key, prediction_key)
GROUP BY run_id, table_name, _row, image_column, truth_key, prediction_key
