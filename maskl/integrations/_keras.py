"""The callback for Keras that W&B's package brings, over maskl; Keras is imported when it is asked for."""

from __future__ import annotations

from functools import cache
from typing import Any

from maskl.integrations._face import face
from maskl_storage.errors import InvalidValue, StateError

__all__ = ["metrics_logger"]


@cache
def metrics_logger() -> type:
    """Return the callback that logs what Keras measures, and the learning rate.

    Its names are W&B's: ``epoch/loss`` and so on by ``epoch/epoch``, and with ``log_freq`` also ``batch/loss`` by
    ``batch/batch_step``.

    Raises
    ------
    ImportError
        Keras is not installed.
    """
    from keras.callbacks import Callback

    class WandbMetricsLogger(Callback):  # type: ignore[misc]  # Keras need not be there
        """Logs what Keras measures to the active run.

        Parameters
        ----------
        log_freq : {'epoch', 'batch'} or int, optional
            Whether to log each batch too, or every so many.
        initial_global_step : int, optional
            How many batches were trained before, for a learning rate that follows a schedule.
        """

        def __init__(self, log_freq: str | int = "epoch", initial_global_step: int = 0) -> None:
            super().__init__()
            if face().run is None:
                raise StateError("You must call maskl.init() before WandbMetricsLogger()")
            every = 1 if log_freq == "batch" else 0 if log_freq == "epoch" else log_freq
            if type(every) is not int or (every < 1 and log_freq != "epoch"):
                raise InvalidValue(f"log_freq is 'epoch', 'batch' or a number of batches; got {log_freq!r:.60}")
            self._every, self._trained, self._batch = every, initial_global_step, 0
            kind, step = ("batch", "batch_step") if every else ("epoch", "epoch")
            face().define_metric(f"{kind}/{step}")
            face().define_metric(f"{kind}/*", step_metric=f"{kind}/{step}")

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            """Log what was measured in an epoch."""
            self._log("epoch", logs, epoch=epoch)

        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            """Log what was measured in a batch, where that is wanted."""
            self._trained += 1
            if self._every and batch % self._every == 0:
                self._log("batch", logs, batch_step=self._batch)
                self._batch += self._every

        def _log(self, kind: str, logs: dict[str, Any] | None, **step: int) -> None:
            rate = self.model.optimizer.learning_rate
            values = {**(logs or {}), **step, "learning_rate": float(rate(self._trained) if callable(rate) else rate)}
            face().log({f"{kind}/{name}": value for name, value in values.items()})

    return WandbMetricsLogger
