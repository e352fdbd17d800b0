"""Print the lower bounds of pyproject.toml's dependencies as pins, for an environment that tests them."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
for requirement in project["dependencies"]:
    bound = requirement.partition(";")[0].split(",")[0]  # without the marker: the shell would take it apart
    print(bound.strip().replace(">=", "=="))
