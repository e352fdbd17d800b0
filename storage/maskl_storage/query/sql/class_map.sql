-- The views under a class map: classes that it gives one name are one class. stored.* are the views
-- of what was logged. Whether a mask has a class that the map makes is decided for a whole step.

CREATE OR REPLACE MACRO maskl_class(original) AS coalesce(map_extract($class_map, original)[1], original);

CREATE OR REPLACE VIEW class_pixels AS
SELECT run_id, run_name, table_name, _row, _step, image_column, mask_key, min(class_id) AS class_id,
       maskl_class(class_name) AS class_name, ignored, CAST(sum(pixels) AS BIGINT) AS pixels, mask_pixels,
       valid_pixels, CAST(sum(pixels) AS BIGINT) / mask_pixels AS coverage
FROM stored.class_pixels
GROUP BY run_id, run_name, table_name, _row, _step, image_column, mask_key, maskl_class(class_name), ignored,
         mask_pixels, valid_pixels;

-- masks is NULL where several classes became one: a mask may have had more than one of them.
CREATE OR REPLACE VIEW class_totals AS
WITH summed AS (
    SELECT run_id, run_name, table_name, _step, image_column, mask_key, min(class_id) AS class_id,
           maskl_class(class_name) AS class_name, ignored, CAST(sum(pixels) AS BIGINT) AS pixels,
           CAST(CASE WHEN count(DISTINCT class_name) < 2 THEN sum(masks) END AS BIGINT) AS masks
    FROM stored.class_totals
    GROUP BY run_id, run_name, table_name, _step, image_column, mask_key, maskl_class(class_name), ignored
)
SELECT run_id, run_name, table_name, _step, image_column, mask_key,
       min(class_id) OVER (PARTITION BY run_id, table_name, image_column, mask_key, class_name) AS class_id,
       class_name, ignored, pixels, masks
FROM summed;

-- Which masks have a class that the map makes.
CREATE OR REPLACE MACRO maskl_joined_names() AS TABLE
SELECT DISTINCT run_id, table_name, _step, image_column, mask_key, class_name FROM class_totals
WHERE list_contains(map_values($class_map), class_name);

CREATE OR REPLACE VIEW confusion_totals AS
WITH names AS (FROM maskl_joined_names())
SELECT c.run_id, c.run_name, c.table_name, c._step, c.image_column, c.truth_key, c.prediction_key,
       maskl_class(c.truth_class) AS truth_class, maskl_class(c.prediction_class) AS prediction_class,
       c.truth_ignored, c.prediction_ignored, c.truth_in_prediction OR p.run_id IS NOT NULL AS truth_in_prediction,
       c.prediction_in_truth OR t.run_id IS NOT NULL AS prediction_in_truth, c.pixels
FROM stored.confusion_totals AS c
LEFT JOIN names AS t ON t.run_id = c.run_id AND t.table_name = c.table_name AND t._step = c._step
 AND t.image_column = c.image_column AND t.mask_key = c.truth_key AND t.class_name = maskl_class(c.prediction_class)
LEFT JOIN names AS p ON p.run_id = c.run_id AND p.table_name = c.table_name AND p._step = c._step
 AND p.image_column = c.image_column AND p.mask_key = c.prediction_key AND p.class_name = maskl_class(c.truth_class);

CREATE OR REPLACE VIEW confusion AS
WITH names AS (FROM maskl_joined_names())
SELECT c.run_id, c.run_name, c.table_name, c._row, c._step, c.image_column, c.truth_key, c.prediction_key,
       c.truth_class_id, c.prediction_class_id, maskl_class(c.truth_class) AS truth_class,
       maskl_class(c.prediction_class) AS prediction_class, c.truth_ignored, c.prediction_ignored,
       c.truth_in_prediction OR p.run_id IS NOT NULL AS truth_in_prediction,
       c.prediction_in_truth OR t.run_id IS NOT NULL AS prediction_in_truth, c.pixels
FROM stored.confusion AS c
LEFT JOIN names AS t ON t.run_id = c.run_id AND t.table_name = c.table_name AND t._step = c._step
 AND t.image_column = c.image_column AND t.mask_key = c.truth_key AND t.class_name = maskl_class(c.prediction_class)
LEFT JOIN names AS p ON p.run_id = c.run_id AND p.table_name = c.table_name AND p._step = c._step
 AND p.image_column = c.image_column AND p.mask_key = c.prediction_key AND p.class_name = maskl_class(c.truth_class);

CREATE OR REPLACE VIEW classes AS
SELECT DISTINCT run_id, run_name, table_name, image_column, mask_key, class_id, maskl_class(class_name) AS class_name,
       color, ignored
FROM stored.classes;

CREATE OR REPLACE VIEW class_scores AS
$computed_class_scores;

CREATE OR REPLACE VIEW scores AS
$computed_scores;
