"""Print, as pip's constraints, the lowest version of each dependency that pyproject.toml allows."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
tests = project["optional-dependencies"]["test"]
for requirement in [*project["dependencies"], *tests]:
    name, lowest = re.fullmatch(r"([\w.-]+)>=([\d.]+)", requirement).groups()
    print(f"{name}=={lowest}")
