"""The runs of this process, and what of it they set: where values go, which writers are read, how it ended."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NoReturn

import numpy as np

from maskl.annotations.sink import sink
from maskl.images.formats import DEFAULT, ImageFormat
from maskl.runs import start
from maskl.runs._handles import stand_in
from maskl.runs._messages import say_end
from maskl.runs._origin import Origin, this_process
from maskl.runs._unsupported import ABSENT, missing
from maskl.runs.run import Run
from maskl.runs.settings import (
    Durability,
    Mode,
    OnError,
    Reinit,
    Resume,
    Settings,
    is_strict,
    resolve,
    take_effect,
    warn_server_only,
)
from maskl.runs.start import Plan
from maskl.runs.summary import Metric
from maskl_storage.disk.forks import renewed
from maskl_storage.errors import ActiveRunWarning, StateError, warn
from maskl_storage.write.live import register, unregister
from maskl_storage.write.writer import Writer

__all__ = [
    "active_run",
    "attribute",
    "define_metric",
    "finish",
    "init",
    "log",
    "settings_of_active",
    "setup",
    "teardown",
]


class _Process:
    """The runs that have not ended, oldest first, and the one that ``maskl.log()`` goes to."""

    def __init__(self) -> None:
        #: what ``sys.exit`` was before a run began
        self._sys_exit: Callable[..., NoReturn] = sys.exit
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin anew: in a forked process the runs are the parent's."""
        self.runs: list[Run] = []
        #: every run that was in this process and still is somewhere, also those that ended and those out of pickles
        self.seen: weakref.WeakValueDictionary[tuple[str | None, str], Run] = weakref.WeakValueDictionary()
        self.active: Run | None = None
        #: what sys.exit() was called with, until something is logged after all
        self.exit_code: int | None = None
        self._direct()

    @property
    def storing(self) -> list[Run]:
        """The runs that are not disabled."""
        return [run for run in self.runs if not run.disabled]

    @property
    def own(self) -> list[Run]:
        """Those of them that were begun in this process."""
        return [run for run in self.storing if not run._came]

    def add(self, run: Run, *, active: bool) -> None:
        """Take a run that began; readers in this process see what waits in it."""
        if isinstance(run._writer, Writer):
            register(run._writer)
        # a disabled run that nobody finished is forgotten when another run takes its place
        self.runs = [other for other in self.runs if not (active and other is self.active and other.disabled)]
        self.runs.append(run)
        self.seen[run._key] = run
        if active:
            self.active = run
        self._direct()
        if sys.exit is not _exit:
            self._sys_exit, sys.exit = sys.exit, _exit

    def remove(self, run: Run) -> None:
        """Forget a run that ended."""
        if isinstance(run._writer, Writer):
            unregister(run._writer)
        self.runs = [other for other in self.runs if other is not run]
        if self.active is run:
            self.active = None
        if not self.runs:
            if sys.exit is _exit:  # nobody has put something of theirs over it
                sys.exit = self._sys_exit
            self.exit_code = None
        self._direct()

    def exit(self, status: Any) -> NoReturn:
        """End the program, and keep its status for the runs: a program that ends tells its exit handlers nothing."""
        self.exit_code = 0 if status is None else status if isinstance(status, int) else 1
        self._sys_exit(status)

    def _direct(self) -> None:
        """Have new values go to the active run, or to the last one that stores them."""
        storing = self.storing
        run = storing[-1] if storing and self.active not in storing else self.active
        if run is None:
            sink.lead_to(None)
        else:
            strict = is_strict(run.settings.strict)
            sink.lead_to(
                run._writer,
                run.settings.truth_keys,
                strict=strict,
                log_artifact=run.log_artifact,
                image_format=run.settings.image_format or DEFAULT,  # it has read the environment
            )


_process: Final = _Process()


def init(
    entity: str | None = None,
    project: str | None = None,
    dir: str | os.PathLike[str] | None = None,  # noqa: A002  # the name that users of W&B know
    id: str | None = None,  # noqa: A002  # as above
    name: str | None = None,
    notes: str | None = None,
    tags: str | Sequence[str] | None = None,
    config: Any = None,
    config_exclude_keys: Sequence[str] | None = None,
    config_include_keys: Sequence[str] | None = None,
    allow_val_change: bool | None = None,
    group: str | None = None,
    job_type: str | None = None,
    mode: Mode | None = None,
    force: bool | None = None,
    reinit: bool | Reinit | None = None,
    resume: bool | Resume | None = None,
    resume_from: str | None = None,
    fork_from: str | None = None,
    save_code: bool | None = None,
    tensorboard: bool | None = None,
    sync_tensorboard: bool | None = None,
    monitor_gym: bool | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    anonymous: Any = None,
    on_error: OnError | None = None,
    durability: Durability | None = None,
    image_format: ImageFormat | None = None,
) -> Run:
    """Start a run, or return the one that is active.

    What an argument does not say, ``settings`` may say, and after it the environment: ``MASKL_DIR``,
    ``MASKL_MODE``, ``MASKL_PROJECT``, ``MASKL_RUN_ID``, ``MASKL_NAME``, ``MASKL_RUN_GROUP``,
    ``MASKL_JOB_TYPE``, ``MASKL_NOTES``, ``MASKL_TAGS`` and ``MASKL_CONFIG_PATHS`` (separated by commas),
    ``MASKL_RESUME``, ``MASKL_REINIT``, ``MASKL_ALLOW_VAL_CHANGE``, ``MASKL_ON_ERROR``,
    ``MASKL_DURABILITY``, ``MASKL_IMAGE_FORMAT``, ``MASKL_STRICT``, ``MASKL_SILENT`` and ``MASKL_QUIET``.
    W&B's own variables are not read.

    Parameters
    ----------
    project : str, optional
        What the run belongs to.
    dir : path-like, optional
        The store, or a directory to make ``maskl-store`` in; by default the working directory.
    id : str, optional
        The run's id; by default its name and four characters. With the id of a run that the store has,
        that run goes on: steps after its last one, config and summary as they stood, unless ``resume``
        says otherwise. Several processes may log to one id at once.
    name : str, optional
        What the run is called; by default the time of its start.
    notes, group, job_type : str, optional
    tags : str or list of str, optional
        One tag, or several.
    config : dict, argparse.Namespace or path, optional
        What the run is configured with, see :class:`maskl.Config`; a path names a YAML or JSON file.
        A file ``config-defaults.yaml`` in the working directory is read first.
    config_exclude_keys, config_include_keys : list of str, optional
        Which keys of the config to leave out, or to take alone.
    allow_val_change : bool, optional
        Whether config items may change later; by default only in notebooks.
    mode : {'offline', 'online', 'disabled', 'shared', 'dryrun', 'run'}, optional
        ``disabled`` stores nothing, and logging costs next to nothing. The others are the same: all is
        kept here, for which ``online`` warns. ``dryrun`` and ``run`` are older names of ``offline`` and
        ``online``.
    reinit : {'default', 'return_previous', 'finish_previous', 'create_new'} or bool, optional
        What to do while another run is active: return it (``default``, but in notebooks it is
        finished), finish it (also True), or make a second one, which ``maskl.run`` and ``maskl.log``
        do not go to.
    resume : {'allow', 'must', 'never', 'auto'} or bool, optional
        ``must``: the run has to be there; ``never``: it must not be; ``allow``: either. ``auto`` (or
        True): go on with the run of this project that was started with ``auto`` and did not end well.
    settings : Settings or dict, optional
        Any of this at once; see :class:`maskl.Settings`.
    on_error : {'raise', 'warn'}, optional
        What to do when something cannot be stored. ``warn`` keeps a training loop alive: every failure of
        logging is a :class:`maskl.errors.NotStoredWarning`, and ``run.summary["not_stored"]`` counts the
        calls, rows and values that it cost.
    durability : {'process', 'fsync'}, optional
        What the rows that ``log()`` took outlast: the end of the process however it comes
        (``process``), or also that of the machine (``fsync``), which waits for the disk in each call.
    image_format : {'webp', 'png', 'jxl'}, optional
        How frames that come as arrays are kept, always without loss. ``webp``, the default, is the smallest that
        everything reads; ``png`` takes a fifth of its time; ``jxl``, JPEG XL, as little time and as few bytes, and
        needs ``maskl[jxl]`` wherever frames are read. What a format does not keep as it is, such as grey in WebP,
        is kept as PNG.
    entity, force, resume_from, fork_from, save_code, tensorboard, sync_tensorboard, monitor_gym, anonymous
        Accepted with a warning, for W&B's server.

    Returns
    -------
    Run

    Raises
    ------
    InvalidType, InvalidValue
        An argument of the wrong type; a directory that cannot be a store.
    MissingExtra
        ``image_format="jxl"``, and the package is not installed.
    NotFound
        ``resume="must"``, and there is no such run.
    StateError
        ``resume="never"``, and there is such a run; or ``resume="must"`` while another is active.
    NotSupported
        An argument that has no effect here, with ``Settings(strict=True)`` or ``MASKL_STRICT``; nothing is
        changed, and an active run goes on.

    Warns
    -----
    ServerOnlyWarning
        An argument that has no effect here.
    ActiveRunWarning
        A run is active and returned, and the arguments have no effect.

    Examples
    --------
    >>> import tempfile
    >>> with init(project="demo", name="first", dir=tempfile.mkdtemp()) as run:
    ...     run.log({"loss": 0.5})
    """
    given = {argument: value for argument, value in locals().items() if value is not None}
    names = {"root_dir": dir, "run_id": id, "run_name": name, "run_notes": notes, "run_tags": tags, "run_group": group}
    last = {"allow_val_change": allow_val_change, "on_error": on_error, "durability": durability}
    more = {"run_job_type": job_type, "mode": mode, "reinit": reinit, "resume": resume, "project": project}
    settled = resolve({**names, **more, **last, "image_format": image_format}, settings)
    reinit = settled.reinit or "default"
    if reinit == "default" and start.in_notebook():
        reinit = "finish_previous"
    start.warn_of_unused(given, settled.strict)
    # as in W&B, a disabled run begins whatever is active, and never stands in the way of another
    others = _process.own if settled.mode != "disabled" else []
    if others and reinit not in ("finish_previous", "create_new"):
        return _previous(settled, [argument for argument in given if argument not in ("reinit", "settings")])
    start.warn_of_online(settled)
    if others and reinit == "finish_previous":
        teardown()
    plan = Plan(settled, config, config_exclude_keys, config_include_keys, entity or "", _ended, found_again)
    run = start.start(plan)
    if not run.disabled:
        _keep_scratch_memory()
    _process.add(run, active=reinit != "create_new")
    return run


def log(data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
    """Log to the active run; see :meth:`Run.log`."""
    _process.exit_code = None  # whoever called sys.exit() went on after all
    active_run("log()").log(data, step, commit)


def define_metric(
    name: str,
    step_metric: str | Metric | None = None,
    step_sync: bool | None = None,
    hidden: bool | None = None,
    summary: str | None = None,
    goal: str | None = None,
    overwrite: bool | None = None,
) -> Metric:
    """Say how values of a name are summarised; see :meth:`Run.define_metric`."""
    return active_run("define_metric()").define_metric(name, step_metric, step_sync, hidden, summary, goal, overwrite)


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """End the active run, if there is one; see :meth:`Run.finish`."""
    if _process.active is not None:
        _process.active.finish(exit_code, quiet)


def teardown(exit_code: int | None = None) -> None:
    """End all runs of this process."""
    for run in reversed(_process.runs):
        run.finish(exit_code)


def setup(settings: Settings | None = None) -> None:
    """Do nothing: a process needs no preparation. Settings go to :func:`init`, and warn here."""
    if settings is not None:
        warn_server_only("settings of setup()", ": give them to init()", strict=settings.strict)


class _Before:
    """What stands for ``maskl.config`` and ``maskl.summary`` while there is no run."""

    def __init__(self, name: str) -> None:
        vars(self)["_name"] = name

    def __repr__(self) -> str:
        return f"<maskl.{vars(self)['_name']} before maskl.init()>"

    def _refuse(self, *args: Any) -> NoReturn:
        name = vars(self)["_name"]
        if args and str(args[0]).startswith("__"):  # asked by tools that look at any object
            raise AttributeError(args[0])
        raise StateError(f"You must call maskl.init() before maskl.{name}")

    __getattr__ = __setattr__ = __getitem__ = __setitem__ = __contains__ = __iter__ = __len__ = _refuse


def attribute(name: str) -> Any:
    """Return what ``maskl.<name>`` is where it is not one of maskl's own names."""
    active = _process.active
    if name == "run":
        return active
    if name in ("config", "summary"):
        return _Before(name) if active is None else getattr(active, name)
    if name in ABSENT:
        raise missing(name)
    raise AttributeError(f"module 'maskl' has no attribute {name!r}", name=name)


def active_run(what: str) -> Run:
    """Return the active run, or raise that this call needs one."""
    if _process.active is None:
        raise StateError(f"You must call maskl.init() before maskl.{what}")
    return _process.active


def settings_of_active() -> Settings:
    """Return what the active run was started with, or what the environment says."""
    return resolve({}, None) if _process.active is None else _process.active.settings


def found_again(origin: Origin) -> Run:
    """Return the run that a pickle or a copy stands for: in this process that run, elsewhere a handle of it.

    A handle opens the run, as another writer of it, once something is logged.
    """
    run = _process.seen.get(origin.key)
    if run is None:
        over = origin.process == this_process()
        run = stand_in(origin, partial(Run, found_again=found_again), start.take_over, _began, _end_handle, over=over)
        _process.seen[origin.key] = run
    return run


def _began(run: Run) -> None:
    take_effect(run.settings)
    _process.add(run, active=False)


def _previous(settings: Settings, given: Sequence[str]) -> Run:
    """Return the run that was started last, saying which arguments had no effect."""
    run = _process.own[-1]
    if settings.resume == "must":
        raise StateError(f"run {run.id!r} is active: finish it before init(resume='must'), or pass reinit='create_new'")
    if given:
        warn(
            f"run {run.id!r} is active, and init() returned it without regard to {', '.join(given)}: call "
            f"maskl.finish() first, or pass reinit='finish_previous' or 'create_new'",
            ActiveRunWarning,
        )
    return run


def _ended(run: Run, exit_code: int | None, quiet: bool) -> None:
    _process.remove(run)
    say_end(run, exit_code, quiet)


def _exit(status: Any = None, /) -> NoReturn:
    _process.exit(status)


def _keep_scratch_memory() -> None:
    """Make glibc keep memory that is freed: a freed block of this size raises its threshold for returning it.

    Masks, and what WebP works in, are otherwise mapped, zeroed and unmapped anew for every image.
    """
    np.empty(30 << 20, np.uint8)


def _end_handle(run: Run, exit_code: int | None, quiet: bool) -> None:
    _process.remove(run)


@atexit.register
def _at_exit() -> None:
    # sys.last_exc is set where an exception that nobody caught ended the program
    failed = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    teardown(1 if failed else _process.exit_code)
