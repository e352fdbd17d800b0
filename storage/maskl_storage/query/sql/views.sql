-- The views of a store. A word with a dollar stands for what differs between stores: a source is
-- read_parquet over the files that the live seals name, or an empty relation where there are none.

-- The name of each run; a run that has none is called by its id.
CREATE OR REPLACE MACRO maskl_run_names() AS $run_names;

CREATE OR REPLACE MACRO maskl_run_name(id) AS coalesce(map_extract(maskl_run_names(), id)[1], id);

-- For each table and image column a list of the table's name and the keys of its masks; and for messages, the tables
-- and the masks of each, as text.
CREATE OR REPLACE MACRO maskl_names() AS $names;

CREATE OR REPLACE MACRO maskl_tables() AS $tables;

CREATE OR REPLACE MACRO maskl_masks() AS $masks_of_tables;

-- One row a run.
CREATE OR REPLACE VIEW runs AS
SELECT run_id, name AS run_name, "group" AS run_group, project, state, job_type, config, summary, tags, notes,
       started, updated, finished
FROM $runs
ORDER BY started, run_id;

-- One row for each image, mask and class: declared classes (zeros included) and ids that are present.
CREATE OR REPLACE VIEW ${schema}class_pixels AS
SELECT run_id, maskl_run_name(run_id) AS run_name, table_name, _row, _step, image_column, mask_key,
       class_id, class_name, ignored, pixels, mask_pixels, valid_pixels, pixels / mask_pixels AS coverage
FROM $class_pixels;

-- The same, summed per step when it was written. Where class_id is NULL: all pixels of all masks.
CREATE OR REPLACE VIEW ${schema}class_totals AS
SELECT run_id, maskl_run_name(run_id) AS run_name, table_name, _step, image_column, mask_key,
       class_id, class_name, ignored, pixels, masks
FROM $class_totals;

-- The joint histogram of each pair of masks of an image. Each pair is stored once and seen both ways. That mask_a is
-- before mask_b is said once more, since it shows DuckDB which way two masks are stored: it reads the files once then.
CREATE OR REPLACE VIEW ${schema}confusion AS
SELECT run_id, maskl_run_name(run_id) AS run_name, table_name, _row, _step, image_column,
       mask_a AS truth_key, mask_b AS prediction_key,
       class_id_a AS truth_class_id, class_id_b AS prediction_class_id,
       class_a AS truth_class, class_b AS prediction_class,
       ignored_a AS truth_ignored, ignored_b AS prediction_ignored,
       a_in_b AS truth_in_prediction, b_in_a AS prediction_in_truth, pixels
FROM $confusion WHERE mask_a < mask_b
UNION ALL
SELECT run_id, maskl_run_name(run_id), table_name, _row, _step, image_column,
       mask_b, mask_a, class_id_b, class_id_a, class_b, class_a,
       ignored_b, ignored_a, b_in_a, a_in_b, pixels
FROM $confusion WHERE mask_a < mask_b;

-- The same, summed per step when it was written; by class names, without ids.
CREATE OR REPLACE VIEW ${schema}confusion_totals AS
SELECT run_id, maskl_run_name(run_id) AS run_name, table_name, _step, image_column,
       mask_a AS truth_key, mask_b AS prediction_key, class_a AS truth_class, class_b AS prediction_class,
       ignored_a AS truth_ignored, ignored_b AS prediction_ignored,
       a_in_b AS truth_in_prediction, b_in_a AS prediction_in_truth, pixels
FROM $confusion_totals WHERE mask_a < mask_b
UNION ALL
SELECT run_id, maskl_run_name(run_id), table_name, _step, image_column,
       mask_b, mask_a, class_b, class_a, ignored_b, ignored_a, b_in_a, a_in_b, pixels
FROM $confusion_totals WHERE mask_a < mask_b;

-- What was computed of rows after they were logged: values of a metric, of a class where class_name is not NULL. A row of
-- which there is nothing to say has one with name and value NULL.
CREATE OR REPLACE VIEW maskl_pixel_scores AS
SELECT run_id, maskl_run_name(run_id) AS run_name, table_name, _row, _step, image_column, truth_key, prediction_key,
       metric_name, version, params, class_name, name, value
FROM $pixel_scores;

CREATE OR REPLACE VIEW pixel_scores AS SELECT * RENAME (metric_name AS metric) FROM maskl_pixel_scores;

-- The scores of each row's pairs of masks, either of them the truth. NULL where sizes differ.
CREATE OR REPLACE VIEW ${schema}scores AS
SELECT run_id, maskl_run_name(run_id) AS run_name, table_name, _row, _step, image_column, truth_key, prediction_key,
       mean_iou, mean_dice, pixel_accuracy, same_size, names_in_common
FROM $scores
$older_scores;

-- The counts behind them, for each class of the truth that is not ignored.
CREATE OR REPLACE VIEW ${schema}class_scores AS
SELECT run_id, maskl_run_name(run_id) AS run_name, table_name, _row, _step, image_column, truth_key, prediction_key,
       class_name, tp, fp, fn, names_in_common
FROM $class_scores
$older_class_scores;

-- Of each pair of masks of a row whether they have one size.
CREATE OR REPLACE VIEW maskl_sizes AS
SELECT run_id, table_name, _step, image_column, truth_key, prediction_key, same_size FROM ${schema}scores;

-- Of images with more than 8 masks, pairs may have been left out: which masks rows have that may be of such an image,
-- and which of their pairs were counted.
CREATE OR REPLACE VIEW maskl_paired_masks AS
SELECT DISTINCT run_id, table_name, _row, _step, image_column, mask_key FROM $paired_class_pixels;

CREATE OR REPLACE VIEW maskl_paired_scores AS
SELECT run_id, table_name, _row, image_column, truth_key, prediction_key FROM $paired_scores;

-- Scalars that were logged, in order: numbers in value, strings and what a DOUBLE cannot hold in text.
CREATE OR REPLACE VIEW history AS
SELECT run_id, maskl_run_name(run_id) AS run_name, _row, _step, _timestamp, key, value, text, form
FROM $history;

-- Versions of artifacts, each once: what was said last counts, and of an alias the last version that got it. The highest
-- version is latest.
CREATE OR REPLACE VIEW artifacts AS
WITH said AS (
    SELECT *, first_value(run_id) OVER earlier AS of_run, first_value(time) OVER earlier AS since,
           row_number() OVER (PARTITION BY project, name, version ORDER BY time DESC, writer DESC, seal DESC) AS back
    FROM $artifacts
    WINDOW earlier AS (PARTITION BY project, name, version ORDER BY time, writer, seal)
), aliased AS (
    SELECT project, name, alias, arg_max(version, (time, writer, seal)) AS version
    FROM (SELECT project, name, version, time, writer, seal, unnest(aliases) AS alias FROM $artifacts)
    WHERE alias <> 'latest'
    GROUP BY project, name, alias
), held AS (
    SELECT project, name, version, list(alias ORDER BY alias) AS aliases FROM aliased GROUP BY project, name, version
)
SELECT of_run AS run_id, maskl_run_name(of_run) AS run_name, said.project, said.name, said.version, type,
       list_concat(coalesce(held.aliases, []),
                   CASE WHEN said.version = max(said.version) OVER (PARTITION BY said.project, said.name)
                        THEN ['latest'] ELSE [] END) AS aliases,
       digest, files, size, description, try_cast(metadata AS JSON) AS metadata, since AS time
FROM said LEFT JOIN held
  ON held.project IS NOT DISTINCT FROM said.project AND held.name = said.name AND held.version = said.version
WHERE back = 1
ORDER BY said.project NULLS FIRST, said.name, said.version;

-- What is in them: files by their BLAKE3, addresses, and tables of the run that logged them.
CREATE OR REPLACE VIEW artifact_files AS
SELECT run_id, maskl_run_name(run_id) AS run_name, project, name, version, path, kind, size, digest, reference
FROM $artifact_files
ORDER BY project NULLS FIRST, name, version, path;

-- The files that runs keep: of each path what was saved last.
CREATE OR REPLACE VIEW run_files AS
SELECT run_id, maskl_run_name(run_id) AS run_name, path, size, digest, time
FROM (SELECT *, row_number() OVER (PARTITION BY run_id, path ORDER BY time DESC, writer DESC, seal DESC) AS back
      FROM $run_files)
WHERE back = 1
ORDER BY run_id, path;

-- Each distinct image once, with its encoded bytes; of a store of some runs, those that stand with others have none.
CREATE OR REPLACE VIEW images AS
SELECT digest, format, mode, width, height, bytes
FROM $images
WHERE (_maskl_file, file_row_number) IN (
    SELECT min((_maskl_file, file_row_number)) FROM $images GROUP BY digest
)
$other_images;

-- The class sets of every mask, from the schema metadata of the rows parts.
CREATE OR REPLACE VIEW ${schema}classes AS
WITH entries AS (
    SELECT url_decode(regexp_extract(file_name, '/run_id=([^/]*)/[^/]*$$', 1)) AS run_id,
           url_decode(regexp_extract(file_name, '/table_name=([^/]*)/run_id=[^/]*/[^/]*$$', 1)) AS table_name,
           unnest(from_json(json_extract(decode(value), '$$.columns.*'),
                  '[{"kind": "VARCHAR", "image": "VARCHAR", "key": "VARCHAR", "class_sets":
                     [[{"id": "INTEGER", "name": "VARCHAR", "color": "VARCHAR", "ignore": "BOOLEAN"}]]}]')) AS c
    FROM $metadata WHERE decode(key) = 'maskl'
), sets AS (
    SELECT run_id, table_name, c.image AS image_column, c.key AS mask_key,
           unnest(flatten(c.class_sets)) AS item
    FROM entries WHERE c.kind = 'mask'
)
SELECT DISTINCT run_id, maskl_run_name(run_id) AS run_name, table_name, image_column, mask_key,
       item.id AS class_id, coalesce(item.name, 'class_' || item.id) AS class_name,
       item.color AS color, coalesce(item."ignore", false) AS ignored
FROM sets;
