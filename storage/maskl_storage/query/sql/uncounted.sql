SELECT u.run_id, u._step, u.image_column, CAST(maskl_not_counted(t, truth, prediction, u.run_id) AS VARCHAR) AS named,
       CAST(maskl_not_counted(t, truth, prediction, u.run_id) AS BIGINT) AS counted
FROM maskl_uncounted(t, truth, prediction, step) AS u
WHERE CAST(maskl_not_counted(t, truth, prediction, u.run_id) AS BOOLEAN)
UNION ALL
