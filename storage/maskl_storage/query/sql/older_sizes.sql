-- The pairs of masks of each row, and whether they have one size. The words with a dollar stand for relations.
WITH each_mask AS (
    SELECT DISTINCT run_id, table_name, _row, _step, image_column, mask_key FROM $masks
), met AS (
    SELECT DISTINCT run_id, table_name, _row, image_column, truth_key, prediction_key FROM $pairs
)
SELECT a.run_id, a.table_name, a._row, a._step, a.image_column, a.mask_key AS truth_key, b.mask_key AS prediction_key,
       met.run_id IS NOT NULL AS same_size
FROM each_mask AS a
JOIN each_mask AS b ON b.run_id = a.run_id AND b.table_name = a.table_name AND b._row = a._row
 AND b.image_column = a.image_column AND b.mask_key <> a.mask_key
LEFT JOIN met ON met.run_id = a.run_id AND met.table_name = a.table_name AND met._row = a._row
 AND met.image_column = a.image_column AND met.truth_key = a.mask_key AND met.prediction_key = b.mask_key
