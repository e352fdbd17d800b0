"""What a run is started with: the arguments of ``init()``, a ``Settings`` object, and the environment."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeVar, get_args

from maskl.images.formats import VARIABLE as IMAGE_FORMAT
from maskl.images.formats import ImageFormat, parse_format
from maskl.images.threads import VARIABLE as ENCODER_THREADS
from maskl.images.threads import parse_threads, set_encoder_threads
from maskl_storage.disk.hashes import VARIABLE as HASHES
from maskl_storage.disk.hashes import set_check_hashes
from maskl_storage.errors import InvalidType, InvalidValue, MissingExtra, prefixed, warn_unless_strict
from maskl_storage.format.names import check_text
from maskl_storage.format.switches import parse_switch
from maskl_storage.masks.limits import VARIABLE, parse_pixels, set_max_mask_pixels

__all__ = [
    "Durability",
    "Mode",
    "OnError",
    "Reinit",
    "Resume",
    "Settings",
    "is_strict",
    "resolve",
    "take_effect",
    "warn_server_only",
]

Mode = Literal["online", "offline", "disabled", "shared", "dryrun", "run"]
Resume = Literal["allow", "must", "never", "auto"]
Reinit = Literal["default", "return_previous", "finish_previous", "create_new"]
OnError = Literal["raise", "warn"]
Durability = Literal["process", "fsync"]

Choice = TypeVar("Choice", bound=str)


#: the environment variable of each setting
ENVIRONMENT: Final[Mapping[str, str]] = {
    "root_dir": "MASKL_DIR",
    "mode": "MASKL_MODE",
    "project": "MASKL_PROJECT",
    "run_id": "MASKL_RUN_ID",
    "run_name": "MASKL_NAME",
    "run_group": "MASKL_RUN_GROUP",
    "run_job_type": "MASKL_JOB_TYPE",
    "run_notes": "MASKL_NOTES",
    "run_tags": "MASKL_TAGS",
    "resume": "MASKL_RESUME",
    "reinit": "MASKL_REINIT",
    "allow_val_change": "MASKL_ALLOW_VAL_CHANGE",
    "config_paths": "MASKL_CONFIG_PATHS",
    "on_error": "MASKL_ON_ERROR",
    "durability": "MASKL_DURABILITY",
    "image_format": IMAGE_FORMAT,
    "encoder_threads": ENCODER_THREADS,
    "truth_keys": "MASKL_TRUTH_KEYS",
    "max_mask_pixels": VARIABLE,
    "check_hashes": HASHES,
    "strict": "MASKL_STRICT",
    "silent": "MASKL_SILENT",
    "quiet": "MASKL_QUIET",
}

#: settings that are several, with commas between them in the environment
LISTS: Final = ("run_tags", "config_paths", "truth_keys")

#: settings of W&B that steer its server, its uploads or its collecting of other data, old ones included
SERVER_SETTINGS: Final = frozenset(
    """
    allow_media_symlink allow_offline_artifacts anonymous api_key app_url_override azure_account_url_to_access_key
    base_url capture_loggers code_dir console console_chunk_max_bytes console_chunk_max_seconds console_multipart
    credentials_file disable_code disable_git disable_git_fork_point disable_job_creation docker email entity
    finish_timeout finish_timeout_raises force fork_from git_commit git_remote git_remote_url git_root
    heartbeat_seconds host http_proxy https_proxy identity_token_file ignore_globs init_timeout
    insecure_disable_ssl job_name job_source label_disable launch launch_config_path login_timeout
    max_end_of_run_history_metrics max_end_of_run_summary_metrics notebook_name organization program
    program_abspath program_relpath relogin resume_from sagemaker_disable save_code settings_system show_colors
    show_emoji show_errors show_info show_warnings start_method stop_fn stop_on_fatal_error
    summary_timeout summary_warnings sweep_id sweep_param_path symlink sync_tensorboard
    table_raise_on_max_row_limit_exceeded use_dot_wandb username
    """.split()  # noqa: SIM905  # a list of these would be 70 lines
)


class Settings:
    """What a run is started with, where it is not said in :func:`init` itself.

    Parameters
    ----------
    project, run_id, run_name, run_group, run_job_type, run_notes : str, optional
        As ``project``, ``id``, ``name``, ``group``, ``job_type`` and ``notes`` of :func:`init`.
    run_tags : sequence of str, optional
        As ``tags`` of :func:`init`.
    root_dir : path-like, optional
        As ``dir`` of :func:`init`.
    mode, resume, reinit, allow_val_change : optional
        As in :func:`init`.
    on_error : {'raise', 'warn'}, optional
        As in :func:`init`.
    durability : {'process', 'fsync'}, optional
        As in :func:`init`.
    image_format : {'webp', 'png', 'jxl'}, optional
        As in :func:`init`.
    encoder_threads : int, optional
        How many threads of this process encode images at most, by default one for each of its cores, up to 8; in
        processes that a pool or a DataLoader started it is one. It holds as long as ``max_mask_pixels``.
    max_mask_pixels : int, optional
        How many pixels a mask may have that this process reads, 2²⁹ by default; :func:`log` stores larger ones,
        with a warning. It holds until another run starts, for every store; without a run the environment says it.
    check_hashes : bool, optional
        Whether this process reads parts against the hashes of their seals before SQL computes anything from them, once
        a file; it does by default. It holds as long as ``max_mask_pixels``.
    config_paths : sequence of path-like, optional
        YAML or JSON files to take the config from, under what ``config`` says.
    truth_keys : str or sequence of str, optional
        The masks that others are compared with, by default ``"ground_truth"``: of an image with more than 8 masks
        only the pairs with one of them are counted.
    strict : bool, optional
        Whether what would be a :class:`maskl.errors.ServerOnlyWarning` is a :class:`maskl.errors.NotSupported`,
        raised before anything is changed.
    silent : bool, optional
        Whether nothing is printed.
    quiet : bool, optional
        Whether only the line at the end is printed.
    **others
        Settings of W&B that only its server or its uploads heed.

    Raises
    ------
    InvalidType, InvalidValue
        A setting that does not exist, or whose value is none of its own.
    MissingExtra
        A setting needs a package that is not installed.
    NotSupported
        A setting that has no effect here, with ``strict``.

    Warns
    -----
    ServerOnlyWarning
        A setting that has no effect here.

    Examples
    --------
    >>> Settings(mode="disabled", silent=True)
    <Settings mode='disabled', silent=True>
    """

    def __init__(
        self,
        *,
        project: str | None = None,
        run_id: str | None = None,
        run_name: str | None = None,
        run_group: str | None = None,
        run_job_type: str | None = None,
        run_notes: str | None = None,
        run_tags: str | Sequence[str] | None = None,
        root_dir: str | os.PathLike[str] | None = None,
        mode: Mode | None = None,
        resume: bool | Resume | None = None,
        reinit: bool | Reinit | None = None,
        allow_val_change: bool | None = None,
        config_paths: Sequence[str | os.PathLike[str]] | None = None,
        on_error: OnError | None = None,
        durability: Durability | None = None,
        image_format: ImageFormat | None = None,
        encoder_threads: int | None = None,
        truth_keys: str | Sequence[str] | None = None,
        max_mask_pixels: int | None = None,
        check_hashes: bool | str | None = None,
        strict: bool | str | None = None,
        silent: bool | str | None = None,
        quiet: bool | str | None = None,
        **others: Any,
    ) -> None:
        self.strict = parse_switch("strict", strict)
        for name, value in others.items():
            _check_known(name)
            if value is not None:
                warn_server_only(f"the setting {name}={value!r:.60}", strict=self.strict)
        self.project = _text("project", project)
        self.run_id = run_id  # what an id may be is for the store to say
        self.run_name = _text("name", run_name)
        self.run_group = _text("group", run_group)
        self.run_job_type = _text("job_type", run_job_type)
        self.run_notes = _text("notes", run_notes)
        self.run_tags = parse_tags(run_tags)
        self.root_dir = _path("dir", root_dir)
        self.mode: Mode | None = _one_of("mode", mode, get_args(Mode))
        self.resume: Resume | None = _one_of("resume", _choice(resume, "auto"), get_args(Resume))
        self.reinit: Reinit | None = _one_of("reinit", _choice(reinit, "finish_previous"), get_args(Reinit))
        self.allow_val_change = parse_switch("allow_val_change", allow_val_change)
        self.on_error: OnError | None = _one_of("on_error", on_error, get_args(OnError))
        self.durability: Durability | None = _one_of("durability", durability, get_args(Durability))
        self.image_format = None if image_format is None else parse_format(image_format)
        if encoder_threads is not None:
            encoder_threads = parse_threads(encoder_threads, "encoder_threads")
        self.encoder_threads = encoder_threads
        if max_mask_pixels is not None:
            max_mask_pixels = parse_pixels(max_mask_pixels, "max_mask_pixels")
        self.max_mask_pixels = max_mask_pixels
        self.check_hashes = parse_switch("check_hashes", check_hashes)
        self.config_paths = _paths(config_paths)
        self.truth_keys = _truth_keys(truth_keys)
        self.silent = parse_switch("silent", silent)
        self.quiet = parse_switch("quiet", quiet)

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are not None, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def __repr__(self) -> str:
        return f"<Settings {', '.join(f'{name}={value!r}' for name, value in self.given.items())}>"


def resolve(arguments: Mapping[str, Any], settings: Settings | Mapping[str, Any] | None) -> Settings:
    """Return what holds for a run: what an argument says, else ``settings=``, else the environment."""
    if settings is None:
        settings = Settings()
    elif isinstance(settings, Mapping):
        settings = Settings(**settings)
    elif not isinstance(settings, Settings):
        raise InvalidType(f"settings must be maskl.Settings or a dict; got {type(settings).__name__}")
    given = {name: value for name, value in arguments.items() if value is not None}
    return Settings(**{**from_environment(), **settings.given, **given})


def take_effect(settings: Settings) -> None:
    """Have what settings say of this process hold, for every store, until another run begins."""
    set_max_mask_pixels(settings.max_mask_pixels)
    set_encoder_threads(settings.encoder_threads)
    set_check_hashes(settings.check_hashes)


def is_strict(strict: bool | None) -> bool:
    """Return whether what only W&B's server would heed is an error: as a setting says, else the environment."""
    if strict is not None:
        return strict
    text = os.environ.get(ENVIRONMENT["strict"])
    return bool(text and parse_switch(f"the environment variable {ENVIRONMENT['strict']}", text))


def from_environment() -> dict[str, Any]:
    """Return the settings that environment variables give; an empty variable gives nothing."""
    found: dict[str, Any] = {}
    for name, variable in ENVIRONMENT.items():
        text = os.environ.get(variable)
        if text:
            values = [item.strip() for item in text.split(",") if item.strip()]
            found[name] = values if name in LISTS else _parsed(name, text)
            try:
                Settings(**{name: found[name]})
            except (InvalidType, InvalidValue, MissingExtra) as error:
                raise prefixed(error, f"the environment variable {variable}") from error
    return found


def warn_server_only(what: str, more: str = "", *, strict: bool | None) -> None:
    """Warn that something was accepted and does nothing, or raise that; ``strict`` is the setting."""
    message = f"{what} only means something to W&B's server; it has no effect here{more}"
    warn_unless_strict(message, strict=is_strict(strict))


def parse_tags(value: Any) -> tuple[str, ...] | None:
    """Return tags as a run keeps them, or raise what is wrong with them."""
    if value is None:
        return None
    if isinstance(value, str):
        value = [value]
    is_list = isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes)
    if not is_list or not all(isinstance(tag, str) for tag in value):
        raise InvalidType(f"tags must be a string or a list of strings; got {value!r:.60}")
    for tag in value:
        check_text(tag, "a tag")
    return tuple(dict.fromkeys(value))


def _parsed(name: str, text: str) -> Any:
    """Return an environment variable's text as its setting: the booleans of ``reinit`` and ``resume`` too."""
    if name in ("reinit", "resume") and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text


def _check_known(name: str) -> None:
    if name in SERVER_SETTINGS or name.startswith(("x_", "_")):
        return
    close = difflib.get_close_matches(name, [*ENVIRONMENT, *SERVER_SETTINGS], 1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(ENVIRONMENT)}"
    raise InvalidType(f"there is no setting {name!r}{hint}")


def _text(what: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidType(f"{what} must be a string; got {value!r:.60}")
    return None if value is None else check_text(value, what)


def _path(what: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str | os.PathLike):
        raise InvalidType(f"{what} must be a path; got {value!r:.60}")
    return None if value is None else os.fsdecode(value)


def _paths(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    many: Sequence[Any] = [value] if isinstance(value, str | os.PathLike) else value
    if not isinstance(many, Sequence):
        raise InvalidType(f"config_paths must be a list of paths; got {value!r:.60}")
    return tuple(str(_path("a config's path", item)) for item in many)


def _truth_keys(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    keys = (value,) if isinstance(value, str) else value
    if not isinstance(keys, Sequence) or not all(isinstance(key, str) and key for key in keys):
        raise InvalidType(f"truth_keys must be the key of a mask, or several; got {value!r:.60}")
    return tuple(dict.fromkeys(keys))


def _choice(value: Any, if_true: str) -> Any:
    """Return the choice that a bool stood for before there were choices."""
    return {True: if_true, False: None}[value] if isinstance(value, bool) else value


def _one_of(what: str, value: Any, choices: tuple[Choice, ...]) -> Choice | None:
    if value is None:
        return None
    for choice in choices:
        if choice == value:
            return choice
    raise InvalidValue(f"{what} must be one of {', '.join(map(repr, choices))}; got {value!r:.60}")
