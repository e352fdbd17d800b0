"""Queries that take all they can get, for what bounds them: of time, of memory, of the planner, of the parser."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

import maskl

__all__ = ["GREEDY", "NEVER_ENDING", "write"]

#: the side of the mask that pixel functions are called with: a few bytes that claim many
SIDE: Final = 8192

#: each common table expression is several times the one before
_DOUBLED: Final = ", ".join(f"c{n} AS (SELECT * FROM c{n - 1} UNION ALL SELECT * FROM c{n - 1})" for n in range(1, 23))
_JOINED: Final = ", ".join(f"c{n} AS (SELECT l.* FROM c{n - 1} l, c{n - 1} r)" for n in range(1, 23))
_WIDENED: Final = ", ".join(f"c{n} AS (SELECT l.*, r.* FROM c{n - 1} l, c{n - 1} r)" for n in range(1, 18))
_BIG: Final = "10000000000"
_MASK: Final = "image__mask__m"

#: those that never end
NEVER_ENDING: Final[dict[str, str]] = {
    "count": "SELECT count(*) FROM range(10000000000000)",
    "rows": "FROM range(10000000000000)",
    "hashes": "SELECT max(hash(range)) FROM range(10000000000000)",
    "recursion": "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r",
    "cross join": "SELECT sum(a.range * b.range) FROM range(1000000000) AS a, range(1000000000) AS b",
    "regex": "SELECT max(regexp_replace(repeat('ab', 500) || range, '(a|b)*c', 'x', 'g')) FROM range(10000000000000)",
    "list sums": "SELECT max(list_sum(range(range % 1000))) FROM range(10000000000000)",
    "sleep": "SELECT sleep_ms(1000000000)",
    "sort": "SELECT hash(range) AS x FROM range(10000000000000) ORDER BY x",
    "explain": "EXPLAIN ANALYZE SELECT count(*) FROM range(1000000) AS a, range(1000000000) AS b",
    "pivot": "PIVOT (SELECT range AS a FROM range(10000000000000)) ON a USING count(*)",
}

#: by what each takes
GREEDY: Final[dict[str, str]] = NEVER_ENDING | {
    # the planner's
    "doubled CTEs": f"WITH c0 AS (SELECT 1 AS x), {_DOUBLED} SELECT count(*) FROM c22",
    "doubled CTEs of columns": f"WITH c0 AS (FROM history), {_DOUBLED} SELECT sum(value) FROM c22",
    "joined CTEs": f"WITH c0 AS (SELECT 1 AS x), {_JOINED} SELECT count(*) FROM c22",
    "joined CTEs of a view": f"WITH c0 AS (FROM class_scores), {_JOINED} SELECT count(*) FROM c22",
    "widened CTEs": f"WITH c0 AS (SELECT 1 AS x), {_WIDENED} SELECT count(*) FROM c17",
    "IN list": f"SELECT count(*) FROM history WHERE _row IN ({', '.join(map(str, range(300_000)))})",
    "IN list of texts": f"SELECT 'x' IN ({', '.join(map(repr, map(str, range(300_000))))})",
    "VALUES": f"SELECT count(*) FROM (VALUES {', '.join(f'({n})' for n in range(200_000))})",
    "UNION": " UNION ALL ".join(["SELECT 1"] * 10_000),
    "UNION of views": " UNION ".join(["SELECT run_id FROM history"] * 3_000),
    "sums": f"SELECT {'+'.join(['1'] * 100_000)}",
    "columns": f"SELECT {', '.join(f'{n} AS c{n}' for n in range(100_000))}",
    "ANDs": f"SELECT count(*) FROM history WHERE {' AND '.join(f'value <> {n}' for n in range(50_000))}",
    "CASEs": f"SELECT CASE {' '.join(f'WHEN _row = {n} THEN {n}' for n in range(50_000))} END FROM history",
    "joins": f"SELECT count(*) FROM {', '.join(f'history h{n}' for n in range(300))}",
    "correlated": "SELECT (" * 60 + "SELECT 1" + ")" * 60,
    "windows": f"SELECT {', '.join(f'sum(_row) OVER (ORDER BY _row + {n})' for n in range(5_000))} FROM history",
    "COLUMNS": f"SELECT {', '.join(['COLUMNS(*)'] * 20_000)} FROM history",
    # the parser's
    "parentheses": "SELECT " + "(" * 100_000 + "1" + ")" * 100_000,
    "brackets": "SELECT " + "[" * 100_000 + "]" * 100_000,
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 20_000 + "history" + ")" * 20_000,
    "NOTs": "SELECT " + "NOT " * 100_000 + "true",
    "minuses": "SELECT " + "- " * 100_000 + "1",
    "calls": "SELECT " + "abs(" * 50_000 + "1" + ")" * 50_000,
    "a long text": f"SELECT length('{'x' * 50_000_000}')",
    "comments": "SELECT 1 " + "/* */" * 1_000_000,
    # one call that makes much
    "lpad": "SELECT lpad('x', 1000000000, 'y')",
    "repeat": "SELECT length(repeat('x', 2000000000))",
    "repeats": "SELECT repeat('x', 1000000) FROM range(100000)",
    "range": f"SELECT len(range({_BIG}))",
    "generate_series": f"SELECT generate_series(1, {_BIG})",
    "comprehension": "SELECT [x * y FOR x IN range(100000) IF x > 1] FROM range(100000) AS t(y)",
    "nested lists": "SELECT list_transform(range(100000), lambda x: range(100000))",
    "string_agg": "SELECT string_agg(repeat('x', 1000), ',') FROM range(100000000)",
    "list": "SELECT list(range) FROM range(10000000000)",
    "json": "SELECT to_json(list_transform(range(1000000), lambda x: {'a': x, 'b': [x, x]}))",
    "json nest": "SELECT json_extract(repeat('[', 10000000) || repeat(']', 10000000), '$[0]')",
    "json_serialize_sql": "SELECT json_serialize_sql('SELECT ' || repeat('1 + ', 1000000) || '1')",
    "regexp_extract_all": "SELECT len(regexp_extract_all(repeat('ab', 50000000), '(a|b)'))",
    "split": "SELECT len(string_split(repeat('a,', 100000000), ','))",
    "levenshtein": "SELECT levenshtein(repeat('a', 200000), repeat('b', 200000))",
    "factorials": "SELECT sum(factorial((range % 30)::INTEGER)) FROM range(10000000000)",
    "map": "SELECT map(range(10000000), range(10000000))",
    # blocks of rows
    "groups": "SELECT count(*) FROM (SELECT range, hash(range) FROM range(5000000000) GROUP BY ALL)",
    "distinct": "SELECT count(DISTINCT hash(range)) FROM range(5000000000)",
    "window": "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY hash(range)) AS n FROM range(5000000000))",
    "hash join": "SELECT count(*) FROM range(5000000000) AS a JOIN range(5000000000) AS b USING (range)",
    "unnest": "SELECT count(*) FROM (SELECT unnest(range(1000000)) FROM range(1000000))",
    "pivot of many": "PIVOT (SELECT range % 100000 AS a, range AS b FROM range(10000000)) ON a USING sum(b)",
    # pixel functions
    "mask_png": f"SELECT sum(octet_length(mask_png({_MASK}))) FROM t, range(1000000)",
    "mask_pngs": f"SELECT list(mask_png(mask_crop({_MASK}, 0, 0, {SIDE}, {SIDE} - range))) FROM t, range(100)",
    "mask_rle": f"SELECT list(mask_rle({_MASK})) FROM t, range(1000000)",
    "mask_iou": f"SELECT sum(mask_iou({_MASK}, {_MASK}, range)) FROM t, range(100000000)",
    "masks of lists": f"SELECT list_transform(range(1000000), lambda x: mask_area({_MASK}, x)) FROM t",
    "mask_classes": f"SELECT list(mask_classes({_MASK})) FROM t, range(100000000)",
}


def write(folder: Path) -> None:
    """Log what the queries ask for: some numbers, and a table with a mask of many pixels and few bytes."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[::2, ::64] = 1
    image = maskl.Image(np.zeros((1, 1), np.uint8), masks={"m": {"mask_data": mask, "class_labels": {0: "a", 1: "b"}}})
    with maskl.init(dir=folder, settings={"silent": True}) as run:
        for number in range(10):
            run.log({"loss": number})
        run.log({"t": maskl.Table(["image"], [[image]])})
