"""Print the lowest version that pyproject.toml allows of every package that users install.

The lines are constraints for pip (`make test-lowest`). Packages that only developers use are left
out: requirements.lock pins them.
"""

import re
import tomllib
from pathlib import Path

DEVELOPERS_ONLY = {"bench", "docs", "test", "dev"}

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
parts = [project["dependencies"], *(extras[name] for name in extras if name not in DEVELOPERS_ONLY)]
for requirement in (line for part in parts for line in part):
    if requirement.startswith(project["name"]):
        continue
    found = re.match(r"([\w.-]+)>=([\w.]+)", requirement)
    if found is None:
        raise SystemExit(f"{requirement}: expected a lower bound; write name>=version")
    print(f"{found[1]}=={found[2]}")
