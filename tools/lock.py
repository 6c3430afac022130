"""Write the versions of everything that overtone's tests use here: ``python tools/lock.py``.

``constraints.txt`` says what continuous integration installs: versions known to work together. The
package itself only states the oldest that it works with. torch stands in the Makefile. Where a
version needs a newer Python than overtone, older ones are free to take another.
"""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
OLDEST_PYTHON = PROJECT["requires-python"].removeprefix(">=")
LEFT_OUT = {"overtone", "torch"}


def closure(requirement: str, found: dict[str, str]) -> None:
    """Add what a requirement needs, directly and indirectly, as far as it is installed."""
    wanted = Requirement(requirement)
    try:
        package = distribution(wanted.name)
    except PackageNotFoundError:
        return
    name = canonicalize_name(wanted.name)
    key = f"{name}[{','.join(sorted(wanted.extras))}]"
    if key in found or name == "overtone":
        return
    found[key] = package.version.partition("+")[0] + marker(package.metadata["Requires-Python"])
    for line in package.requires or ():
        needed = Requirement(line)
        extras = wanted.extras or {""}
        if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
            closure(line, found)


def marker(requires_python: str | None) -> str:
    """Return for which Pythons a version is, if not for all that overtone runs on."""
    wanted = SpecifierSet(requires_python or "")
    if wanted.contains(OLDEST_PYTHON):
        return ""
    parts = (f'python_full_version {one.operator} "{one.version}"' for one in wanted)
    return f"; {' and '.join(sorted(parts))}"


def main() -> None:
    """Write the file."""
    found: dict[str, str] = {}
    for requirements in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        for line in requirements:
            closure(line, found)
    versions = {name.partition("[")[0]: version for name, version in found.items()}
    lines = [f"{n}=={v}\n" for n, v in sorted(versions.items()) if n not in LEFT_OUT]
    Path("constraints.txt").write_text("# Made by tools/lock.py\n" + "".join(lines))


if __name__ == "__main__":
    main()
