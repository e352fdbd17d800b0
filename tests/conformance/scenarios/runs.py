"""Runs: how they start and end, their config, summary and metrics, and the module's own verbs."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from tests.conformance.scenario import Side, differs, plain, same
from tests.conformance.scenarios.images import RGB


def started(side: Side, *what: str, **arguments: Any) -> list[Any]:
    """Start and end a run; return some of its attributes."""
    with side.init(**arguments) as run:
        return [plain(getattr(run, name)) for name in what]


@same("init", "init(project)", "init(name)", "init(id)", "Run", "Run.project", "Run.name", "Run.id")
def names_of_a_run(side: Side) -> object:
    return started(side, "project", "name", "id", project="streets", name="유닛 1", id="run-1")


@same(
    "init(notes)", "init(tags)", "init(group)", "init(job_type)", "Run.notes", "Run.tags", "Run.group", "Run.job_type"
)
def descriptions_of_a_run(side: Side) -> object:
    return started(
        side, "notes", "tags", "group", "job_type", notes="메모", tags=["a", "b"], group="g", job_type="train"
    )


@same("init(entity)", "Run.entity")
def an_entity(side: Side) -> object:
    return started(side, "entity", entity="team")


@differs("init(dir)", wandb=["wandb"], maskl=["maskl-store"])
def what_is_in_a_directory(side: Side) -> object:
    started(side, "id", dir=str(side.directory))
    return sorted(path.name for path in side.directory.iterdir())


@same("Run.dir")
def a_directory(side: Side) -> object:
    with side.init(dir=str(side.directory)) as run:
        directory = run.dir
    return os.path.realpath(directory).startswith(os.path.realpath(side.directory))


@differs("init(id)", wandb=[True, True, True, True], maskl=[True, False, True, True])
def ids_that_are_none(side: Side) -> object:
    wrong = ("", "a/b", "  ", "a" * 300)
    return [side.refuses(lambda given=given: started(side, "id", id=given)) for given in wrong]


@same("init(config)", "Run.config", "config")
def a_config(side: Side) -> object:
    return side.log({"a": 1}, config={"lr": 0.1, "nested": {"layers": [1, 2]}, "이름": "unet"}).config


@same("init(config)")
def a_config_that_is_no_dict(side: Side) -> object:
    return [side.refuses(lambda given=given: started(side, "id", config=given)) for given in (3, [1])]


@same("init(config_exclude_keys)", "init(config_include_keys)")
def some_of_a_config(side: Side) -> object:
    config = {"a": 1, "b": 2, "c": 3}
    return [
        side.log({"x": 1}, config=dict(config), config_exclude_keys=["a"]).config,
        side.log({"x": 1}, config=dict(config), config_include_keys=["a"]).config,
    ]


@same(
    "Run.config",
    "Run.config.update",
)
def a_config_read_and_set(side: Side) -> object:
    with side.init(config={"lr": 0.1}) as run:
        run.config["batch"] = 8
        run.config.epochs = 3
        run.config.update({"seed": 1, "lr2": np.float32(0.5)})
        found = [run.config["lr"], run.config.batch, run.config.get("none", 7), "seed" in run.config]
        found += [sorted(run.config.keys()), dict(run.config.items())["epochs"], side.error(lambda: run.config["none"])]
        found += [side.error(lambda: run.config.none)]
    return [found, side.kept(run).config]


@same("Run.config.as_dict", "Run.config.setdefaults")
def a_config_as_a_dict(side: Side) -> object:
    with side.init(config={"lr": 0.1}) as run:
        run.config.setdefaults({"lr": 0.5, "seed": 1})
        return [run.config.as_dict()["lr"], run.config.as_dict()["seed"]]


@differs(
    "init(allow_val_change)",
    "Run.config.update(allow_val_change)",
    wandb=["Exception", "Exception", {"lr": 0.3}, "Exception"],
    maskl=["ValueError", "ValueError", {"lr": 0.3}, None],
)
def a_config_value_that_changes(side: Side) -> object:
    with side.init(config={"lr": 0.1}) as run:
        refused = side.error(lambda: run.config.update({"lr": 0.2}))
        refused_item = side.error(lambda: run.config.__setitem__("lr", 0.2))
        run.config.update({"lr": 0.3}, allow_val_change=True)
    found = [refused, refused_item, side.kept(run).config]
    with side.init(config={"lr": 0.1}, allow_val_change=True) as run:
        return [*found, side.error(lambda: run.config.__setitem__("lr", 0.4))]


@same("Run.summary", "summary")
def a_summary_of_what_was_logged(side: Side) -> object:
    return side.log({"a": 1, "c": "x"}, {"a": 3}, {"a": 2, "b": 0.5}).summary


@same(
    "Run.summary",
    "Run.summary.update",
)
def a_summary_read_and_set(side: Side) -> object:
    with side.init() as run:
        run.log({"loss": 0.5})
        run.summary["best"] = 0.9
        run.summary.update({"epoch": 3, "nested": {"x": 1}})
        run.summary.note = "도로"
        found = [run.summary["best"], run.summary.epoch, run.summary["loss"], run.summary.get("none", 7)]
        found += [sorted(filter(lambda key: not key.startswith("_"), run.summary.keys()))]
        found += [side.error(lambda: run.summary["none"])]
    return [found, side.kept(run).summary]


@same("Run.summary")
def a_summary_that_is_set_before_it_is_logged(side: Side) -> object:
    with side.init() as run:
        run.summary["a"] = 9
        run.log({"a": 1})
    return side.kept(run).summary


@differs("Run.summary", wandb="an image", maskl="its text")
def an_image_in_the_summary(side: Side) -> object:
    with side.init() as run:
        run.summary.update({"image": side.Image(RGB)})
    return "its text" if isinstance(side.kept(run).summary["image"], str) else "an image"


def entry(summary: Any, key: str) -> Any:
    """Return a value of the summary, a nested one as a plain dict."""
    found = summary.get(key)
    return (
        found if found is None or isinstance(found, int | float | str) else {name: found[name] for name in found}
    )  # W&B's cannot be iterated


def summarised(side: Side, summary: str) -> Any:
    with side.init() as run:
        run.define_metric("a", summary=summary)
        for value in (2.0, 1.0, 3.0, 2.5):
            run.log({"a": value})
        return entry(run.summary, "a")


@same("Run.define_metric", "Run.define_metric(name)", "Run.define_metric(summary)", "define_metric")
def metrics_summarised(side: Side) -> object:
    return {kind: summarised(side, kind) for kind in ("min", "max", "mean", "last", "none", "min,max", "first")}


@same("Run.define_metric(summary)")
def a_summary_that_is_none(side: Side) -> object:
    with side.init() as run:
        return side.refuses(lambda: run.define_metric("a", summary="median"))


@same("Run.define_metric(name)")
def metrics_by_pattern(side: Side) -> object:
    with side.init() as run:
        run.define_metric("val/*", summary="max")
        for value in (1.0, 3.0, 2.0):
            run.log({"val/acc": value, "train/acc": value})
        return [entry(run.summary, "val/acc"), run.summary["train/acc"]]


@same(
    "Run.define_metric(step_metric)",
    "Run.define_metric(step_sync)",
    "Run.define_metric(hidden)",
    "Run.define_metric(overwrite)",
)
def arguments_of_define_metric(side: Side) -> object:
    with side.init() as run:
        return [
            side.error(lambda: run.define_metric("epoch")),
            side.error(lambda: run.define_metric("a", step_metric="epoch")),
            side.error(lambda: run.define_metric("b", step_sync=True)),
            side.error(lambda: run.define_metric("c", hidden=True)),
            side.error(lambda: run.define_metric("d", overwrite=True)),
        ]


@same("Run.finish", "Run.finish(exit_code)", "finish")
def ending_a_run(side: Side) -> object:
    run = side.init()
    run.log({"a": 1})
    run.finish(exit_code=0)
    return [side.error(run.finish), side.kept(run).history]


@same("Run.log", "log")
def logging_after_the_end(side: Side) -> object:
    run = side.init()
    run.finish()
    return side.refuses(lambda: run.log({"a": 1}))


@same("log", "config", "summary")
def the_module_before_a_run(side: Side) -> object:
    side.finish()
    return [
        side.refuses(lambda: side.module.log({"a": 1})),
        side.refuses(lambda: side.module.config["a"]),
        side.refuses(lambda: side.module.summary["a"]),
        side.refuses(lambda: side.module.define_metric("a")),
        side.error(side.finish),
        side.module.run is None,
    ]


@same("log", "run", "config", "summary", "define_metric", "finish")
def the_module_during_a_run(side: Side) -> object:
    run = side.init(config={"lr": 0.1})
    side.module.log({"a": 1})
    side.module.config["seed"] = 2
    side.module.summary["best"] = 3
    found = [side.module.run is run, side.module.config["lr"], side.module.summary["best"]]
    side.module.finish()
    kept = side.kept(run)
    return [*found, side.module.run is None, kept.history, kept.config, kept.summary]


@same("Run")
def a_context_manager_that_fails(side: Side) -> object:
    def fails() -> None:
        with side.init() as run:
            run.log({"a": 1})
            raise LookupError

    return [side.error(fails), side.module.run is None]


@same("init(reinit)")
def init_while_a_run_is_active(side: Side) -> object:
    one = side.init()
    two = side.init()
    found = [two is one]
    side.finish()
    return found


@same("init(reinit)")
def reinit_by_its_values(side: Side) -> object:
    found = {}
    for value in ("return_previous", "finish_previous", True, False):
        one = side.init()
        two = side.init(reinit=value)
        found[str(value)] = [two is one, side.error(lambda one=one: one.log({"a": 1})) is None]
        two.finish()
        one.finish()
    return found


@same("init(reinit)")
def create_new(side: Side) -> object:
    one = side.init()
    two = side.init(reinit="create_new")
    one.log({"a": 1})
    two.log({"b": 2})
    two.finish()
    one.finish()
    return [two is one, side.kept(one).history, side.kept(two).history]


@same("init(reinit)", "init(mode)", "init(resume)")
def values_that_are_none(side: Side) -> object:
    return [
        side.refuses(lambda: started(side, "id", reinit="perhaps")),
        side.refuses(lambda: started(side, "id", mode="perhaps")),
        side.refuses(lambda: started(side, "id", resume="perhaps")),
    ]


@same("init(mode)", "Run.disabled")
def disabled(side: Side) -> object:
    with side.init(mode="disabled") as run:
        run.log({"a": 1, "image": side.Image(RGB)})
        run.config["lr"] = 1
        run.summary["b"] = 2
        found = [run.disabled, run.config["lr"], run.summary["b"]]
    left = [path for path in side.directory.rglob("*") if path.is_file()]
    return [*found, len(left)]


@same("init(mode)", "Run.offline")
def offline(side: Side) -> object:
    with side.init(mode="offline") as run:
        run.log({"a": 1})
        found = run.offline
    return [found, side.kept(run).history]


@same("init(resume)", "Run.resumed")
def a_run_that_is_not_resumed(side: Side) -> object:
    with side.init() as run:
        return run.resumed


@differs(
    "init(resume)",
    "Run.resumed",
    wandb=[[False, 0], [[0, {"a": 2}]]],
    maskl=[[True, 1], [[0, {"a": 1.0}], [1, {"a": 2.0}]]],
)
def resuming(side: Side) -> object:
    for data in ({"a": 1}, {"a": 2}):
        with side.init(id="run-1", resume="allow", project="p") as run:
            run.log(data)
            found = [run.resumed, run.starting_step]
    return [found, side.kept(run).history]


@differs("init(resume)", wandb=False, maskl=True)
def resuming_what_is_not_there(side: Side) -> object:
    return side.refuses(lambda: started(side, "id", id="run-nowhere", resume="must"))


@same("init(resume_from)", "init(fork_from)")
def going_back_in_a_run(side: Side) -> object:
    return [
        side.refuses(lambda: started(side, "id", resume_from="run-1?_step=3")),
        side.refuses(lambda: started(side, "id", fork_from="run-1?_step=3")),
    ]


@same(
    "init(save_code)",
    "init(tensorboard)",
    "init(sync_tensorboard)",
    "init(monitor_gym)",
    "init(force)",
    "init(anonymous)",
    "init(settings)",
)
def arguments_for_the_server(side: Side) -> object:
    given: list[dict[str, Any]] = [
        {"save_code": True},
        {"force": False},
        {"settings": {"console": "off"}},
        {"anonymous": "allow"},
    ]
    return [side.error(lambda arguments=arguments: started(side, "id", **arguments)) for arguments in given]


@same("Run.path", "Run.settings", "Run.start_time", "Run.sweep_id", "Run.sync_dir", "Run.config_static")
def what_else_a_run_says(side: Side) -> object:
    with side.init(entity="team", project="p", id="run-2", config={"lr": 0.1}) as run:
        return [
            *(run.path, run.sweep_id, run.config_static["lr"], run.start_time > 1.7e9),
            *(run.settings.project, run.settings.run_id, os.path.isdir(run.sync_dir)),
        ]


@same("setup", "Settings", "init(settings)", "Error", "UsageError")
def settings_and_errors(side: Side) -> object:
    side.setup()
    found = [
        started(side, "project", settings=side.Settings(project="p")),
        started(side, "project", settings={"project": "q"}),
        started(side, "project", settings=side.Settings(project="p"), project="given"),
    ]
    return [found, issubclass(side.Error, Exception), issubclass(side.UsageError, side.Error)]


# --- environment variables ---------------------------------------------------------------------------


ATTRIBUTES = """
import json, sys, {name} as package
found = []
for arguments in json.loads(sys.argv[1]):
    run = package.init(**arguments)
    found.append([run.disabled] + [getattr(run, name) for name in sys.argv[2:]])
    found[-1] = [list(value) if isinstance(value, tuple) else value for value in found[-1]]
    run.log({{"a": 1}})
    run.finish()
print(json.dumps(found))
"""


def program(side: Side, code: str, *arguments: str, **variables: str) -> str:
    """Run a program with these variables, ``PROJECT`` for ``WANDB_PROJECT``; return what it prints."""
    given = {"DIR": str(side.directory), "MODE": "offline", "SILENT": "true", **variables}
    return side.run(code.format(name=side.name), arguments, {f"{side.prefix}_{name}": given[name] for name in given})


@same("WANDB_PROJECT", "WANDB_NAME", "WANDB_NOTES", "WANDB_TAGS", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE", "WANDB_RUN_ID")
def a_run_named_by_the_environment(side: Side) -> object:
    given = [{}, {"project": "other", "name": "given", "notes": "x", "tags": ["c"], "group": "h", "job_type": "eval"}]
    names = ("project", "name", "notes", "tags", "group", "job_type", "id")
    variables = {
        "PROJECT": "streets",
        "NAME": "유닛",
        "NOTES": "메모",
        "TAGS": "a,b",
        "RUN_GROUP": "g",
        "JOB_TYPE": "train",
        "RUN_ID": "env-1",
    }
    return json.loads(program(side, ATTRIBUTES, json.dumps(given), *names, **variables))


@differs("WANDB_DIR", wandb=["wandb"], maskl=["maskl-store"])
def a_directory_by_the_environment(side: Side) -> object:
    program(side, ATTRIBUTES, "[{}]")
    return sorted(path.name for path in side.directory.iterdir())


@differs("WANDB_RESUME", wandb=[[[False, False]], [[False, False]]], maskl=[[[False, False]], [[False, True]]])
def resuming_by_the_environment(side: Side) -> object:
    return [json.loads(program(side, ATTRIBUTES, "[{}]", "resumed", RESUME="allow", RUN_ID="env-3")) for _ in range(2)]


@differs("WANDB_CONFIG_PATHS", wandb="the program failed", maskl="0.1 4\n")
def a_config_from_a_file(side: Side) -> object:
    path = side.directory / "config.yaml"
    path.write_text("lr:\n  value: 0.1\nseed:\n  value: 3\n")
    code = (
        "import {name}\nwith {name}.init(config={{'seed': 4}}) as run:\n"
        "    print(run.config['lr'], run.config['seed'])\n"
    )
    try:
        return program(side, code, CONFIG_PATHS=str(path))
    except RuntimeError:
        return "the program failed"


@same("teardown")
def the_end_of_all_runs(side: Side) -> object:
    code = (
        "import {name} as package\nrun = package.init()\npackage.teardown()\n"
        "try:\n    run.log({{'a': 1}})\nexcept Exception:\n    print('refused')\n"
    )
    return program(side, code)


@same("WANDB_MODE")
def a_mode_by_the_environment(side: Side) -> object:
    found = json.loads(program(side, ATTRIBUTES, "[{}]", MODE="disabled"))
    return [found, [path.name for path in side.directory.rglob("*") if path.is_file()]]


@same("WANDB_SILENT", "WANDB_QUIET")
def silence(side: Side) -> object:
    code = "import {name}\nwith {name}.init() as run:\n    run.log({{'a': 1}})\n"
    return [len(program(side, code, SILENT=silent)) > 0 for silent in ("false", "true")]


@same("Run.url", "Run.project_url", "Run.sweep_url")
def addresses(side: Side) -> object:
    with side.init(project="streets") as run:
        return [run.url, run.project_url, run.sweep_url]


@same("join", "ensure_configured")
def the_end_by_its_older_name(side: Side) -> object:
    module = side.module
    run = side.init()
    module.ensure_configured()
    module.join()
    return [module.run is None, side.error(lambda: run.log({"a": 1})) is not None]


@same("AlertLevel")
def levels_of_alerts(side: Side) -> object:
    return [[level.name, level.value] for level in side.module.AlertLevel]


@same("CommError")
def an_error_of_communication(side: Side) -> object:
    return [issubclass(side.module.CommError, side.module.Error)]
