"""The command that computes scores of stored rows."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

import maskl
from maskl.cli._options import Directory, Predictions, Project, Runs, Truth
from maskl.cli._output import print_object
from maskl_storage.format.visible import visible

__all__ = ["score"]


def score(
    metrics: Annotated[
        list[str],
        typer.Argument(
            help="panoptic, boundary, surface, instances, or your own as module:function.",
            metavar="METRIC...",
            show_default=False,
        ),
    ],
    table: Annotated[str, typer.Option("--table", help="The logged table.", show_default=False)],
    truth: Truth = "ground_truth",
    prediction: Predictions = "predictions",
    image: Annotated[str | None, typer.Option("--image", help="The image column. Default: the first.")] = None,
    dilation_ratio: Annotated[
        float | None,
        typer.Option("--dilation-ratio", help="boundary: its width, as a part of the diagonal. Default: 0.02."),
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option("--tolerance", help="surface: up to where contours agree. Default: 1 pixel.")
    ] = None,
    percentile: Annotated[
        float | None, typer.Option("--percentile", help="surface: of the Hausdorff distance. Default: 95.")
    ] = None,
    spacing: Annotated[
        tuple[float, float] | None,
        typer.Option("--spacing", help="surface: the height and width of a pixel. Default: 1 1.", metavar="H W"),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="instances: the IoU above which two match. Default: 0.5.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Score rows again that have scores.")] = False,
    processes: Annotated[
        int, typer.Option("--processes", min=0, help="How many processes score; 0: as many as there are cores.")
    ] = 0,
    directory: Directory = None,
    project: Project = None,
    run: Runs = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Compute metrics that need pixels of rows that have none yet, and keep them beside the rows."""
    sys.path.insert(0, os.getcwd())  # where one's own metrics are, as for python -m
    parameters: dict[str, Any] = {
        "dilation_ratio": dilation_ratio,
        "tolerance": tolerance,
        "percentile": percentile,
        "spacing": spacing,
        "threshold": threshold,
    }
    done = maskl.open(directory, project, run).score(
        table,
        metrics,
        image=image,
        truth=truth,
        prediction=prediction,
        again=again,
        processes=processes,
        **parameters,
    )
    if as_json:
        print_object(done.to_json())
        return
    for reason in done.skipped:
        print("note:", visible(reason))
    runs = f"{len(done.runs):,} run" + ("" if len(done.runs) == 1 else "s")
    line = f"{done.rows:,} rows of {runs} scored, {done.known:,} had scores"
    print(line + (f"; {done.empty:,} have nothing to score" if done.empty else ""))
