-- The formulas of the scores, each in one place; docs/metrics.md has the definitions. All counts are integers
-- until the division, and x / 0 is NULL. What begins with maskl_ is for this package's own queries.

-- Of a class: pixels of it that were predicted as it (hits), others that were (extra), and its others (lost).
CREATE OR REPLACE MACRO maskl_iou(hits, extra, lost) AS hits / nullif(hits + extra + lost, 0);

CREATE OR REPLACE MACRO maskl_dice(hits, extra, lost) AS 2 * hits / nullif(2 * hits + extra + lost, 0);

CREATE OR REPLACE MACRO maskl_share(hits, others) AS hits / nullif(hits + others, 0);

-- Of the segments of a class: how well they were found, and how well those were that were found; iou_of_hits is the sum of
-- their IoU. What is found at all has the form of Dice.
CREATE OR REPLACE MACRO maskl_quality(iou_of_hits, hits, extra, lost) AS 2 * iou_of_hits / nullif(2 * hits + extra + lost, 0);

CREATE OR REPLACE MACRO maskl_segmentation(iou_of_hits, hits) AS iou_of_hits / nullif(hits, 0);

-- Of several classes, as aggregates: a mean over those that are not left out, one weighted with their true pixels,
-- and the share of all pixels whose prediction is right.
CREATE OR REPLACE MACRO maskl_is_left_out(name_of_class, left_out) AS
    list_contains(CAST(left_out AS VARCHAR[]), name_of_class);

CREATE OR REPLACE MACRO maskl_mean(score, name_of_class, left_out) AS
    avg(score) FILTER (NOT maskl_is_left_out(name_of_class, left_out));

CREATE OR REPLACE MACRO maskl_weighted_mean(score, hits, lost, name_of_class, left_out) AS
    CAST(sum((hits + lost) * score) FILTER (NOT maskl_is_left_out(name_of_class, left_out))
         / nullif(sum(hits + lost) FILTER (NOT maskl_is_left_out(name_of_class, left_out)), 0) AS DOUBLE);

-- The same means, added in the order of the classes' names: the last bit is the same wherever that matters.
CREATE OR REPLACE MACRO maskl_steady_mean(score, name_of_class, left_out) AS
    list_avg(list(score ORDER BY name_of_class) FILTER (NOT maskl_is_left_out(name_of_class, left_out)));

CREATE OR REPLACE MACRO maskl_steady_weighted_mean(score, hits, lost, name_of_class, left_out) AS
    list_sum(list((hits + lost) * score ORDER BY name_of_class) FILTER (NOT maskl_is_left_out(name_of_class, left_out)))
    / nullif(sum(hits + lost) FILTER (NOT maskl_is_left_out(name_of_class, left_out)), 0);

CREATE OR REPLACE MACRO maskl_pixel_accuracy(hits, lost) AS CAST(sum(hits) / nullif(sum(hits + lost), 0) AS DOUBLE);

-- IoU and Dice of summed counts, as aggregates: what row_class_iou returns, grouped by anything.
CREATE OR REPLACE MACRO iou(tp_pixels, fp_pixels, fn_pixels) AS
    CAST(maskl_iou(sum(tp_pixels), sum(fp_pixels), sum(fn_pixels)) AS DOUBLE);

CREATE OR REPLACE MACRO dice(tp_pixels, fp_pixels, fn_pixels) AS
    CAST(maskl_dice(sum(tp_pixels), sum(fp_pixels), sum(fn_pixels)) AS DOUBLE);
