"""What a store does to have metrics that need the pixels of its masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from maskl_storage.errors import InvalidValue
from maskl_storage.lazy import LazyModule
from maskl_storage.store import Store as RawStore

if TYPE_CHECKING:
    import maskl.scoring.score as scoring
    from maskl_storage.verify import verify as verification
else:
    scoring = LazyModule("maskl.scoring.score")
    verification = LazyModule("maskl_storage.verify.verify")

__all__ = ["ScoredStore"]


class ScoredStore(RawStore):
    """A store whose rows can be scored."""

    def verify(
        self, *, processes: int = 1, tick: Callable[[int, int], None] = lambda _done, _all: None
    ) -> verification.Verified:
        """Check every file of the store, every statistic against the masks, and if all is well a sample of the scores.

        Parameters
        ----------
        processes : int, optional
            How many processes check. More than one are started anew, so a program that asks for them guards its
            main module as :mod:`multiprocessing` says.
        tick : callable, optional
            Is told how many bytes were checked, and of how many.

        Returns
        -------
        Verified
            ``faults``, each with file, row, column and mask; ``clean``; ``notes`` on what is no fault; and counts.
        """
        found = super().verify(processes=processes, tick=tick)
        if found.clean and self._layout.listing().of("pixel_scores"):  # else nothing that is asked can be relied on
            found.faults.extend(scoring.recount(RawStore(self.root)))
        return found

    def score(
        self,
        table: str,
        metrics: str | Callable[..., Any] | Sequence[str | Callable[..., Any]],
        *,
        run: str | None = None,
        image: str | None = None,
        truth: str = "ground_truth",
        prediction: str = "predictions",
        again: bool = False,
        processes: int = 1,
        progress: bool | None = None,
        **parameters: Any,
    ) -> scoring.Scored:
        """Compute metrics that need the pixels of stored masks, and keep them beside the rows: ``docs/metrics.md``.

        Rows that have scores already are left alone. What is computed is kept every 20 seconds, so that after an
        interrupt, or a kill, the next call goes on. In SQL they are the view ``pixel_scores``.

        Parameters
        ----------
        table : str
            The logged table.
        metrics : str, callable, or a sequence of these
            ``panoptic``, ``boundary``, ``surface``, ``instances``; a function of one's own, ``f(truth, prediction,
            row)``, of two :class:`maskl.ImageMask` and a dict of the row's values, which returns a dict of numbers by
            name; or where it is, ``"module:function"``.
        run : str, optional
            One run, by id, name or unique prefix of its id; by default all that this store sees.
        image : str, optional
            The image column; by default the first.
        truth, prediction : str, optional
            The keys of the masks to compare.
        again : bool, optional
            Whether to score rows again that have scores.
        processes : int, optional
            How many processes score; 0 for as many as there are cores. More than one are started anew, so a program
            that asks for them guards its main module as :mod:`multiprocessing` says.
        progress : bool, optional
            Whether to show a bar; by default where standard error is a terminal.
        **parameters
            Those of the metrics, each for those that have it: ``dilation_ratio`` (0.02) of ``boundary``;
            ``tolerance`` (1 pixel), ``percentile`` (95) and ``spacing`` (1, 1) of ``surface``; ``threshold`` (0.5) of
            ``instances``. Scores of other parameters are kept beside each other.

        Returns
        -------
        Scored
            ``runs``, ``rows`` that were scored now, ``known`` ones that had scores, ``empty`` ones with nothing to
            score, and ``skipped``: which runs were left alone, and why.

        Raises
        ------
        NotFound
            There is no such table, run, column or mask.
        InvalidType, InvalidValue
            There is no such metric, or one of one's own returned something else than numbers.
        MissingExtra
            A metric needs ``maskl[score]``.
        CorruptData
            A mask cannot be read.
        StorageError
            The scores cannot be written.

        Examples
        --------
        >>> import tempfile, maskl
        >>> masks = {"ground_truth": {"mask_data": [[0, 0, 1, 1]]}, "predictions": {"mask_data": [[0, 1, 1, 1]]}}
        >>> with maskl.init(dir=tempfile.mkdtemp()) as run:
        ...     run.log({"val": maskl.Table(["image"], [[maskl.Image([[0, 0, 0, 0]], masks=masks)]])})
        >>> store = maskl.open(run.dir)
        >>> store.score("val", "panoptic").rows
        1
        >>> store.sql("SELECT class_name, value FROM pixel_scores WHERE name = 'tp' ORDER BY ALL").fetchall()
        [('class_0', 0.0), ('class_1', 1.0)]
        """
        from maskl.interchange.progress import progress as bar_of

        wanted = list(metrics) if isinstance(metrics, Sequence) and not isinstance(metrics, str) else [metrics]
        if not wanted:
            raise InvalidValue(f"score() needs a metric: {', '.join(scoring.known_metrics())}, or your own")
        chosen = scoring.metrics_of(wanted, parameters)
        runs = list(dict.fromkeys(sealed.run_id for sealed in self._rows_anew(table, run)))
        with bar_of("scoring", unit="rows", total=1, shown=progress) as bar:
            return scoring.score(
                *(self, table, runs, chosen),
                image=image,
                truth=truth,
                prediction=prediction,
                again=again,
                processes=processes,
                tick=bar.reach,
            )
