"""What overtone installs may be used by anyone: every licence is on a list, or is named here."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
PERMISSIVE = re.compile(
    r"^(?!.*\bA?GPL).*\b(Apache|MIT|BSD|ISC|PSF|Python Software|MPL|Mozilla|Unlicense|LGPL|Lesser)"
)
# The extra `formats` says so; nothing of overtone is copied from it.
KNOWN = {"mutagen": "GPL"}


def needed(requirements: list[str]) -> set[str]:
    """Return the names of all packages that these bring along, themselves included."""
    waiting, found = [Requirement(text) for text in requirements], set()
    while waiting:
        wanted = waiting.pop()
        key = wanted.name.lower(), *sorted(wanted.extras)
        if key in found:
            continue
        try:
            more = metadata.requires(wanted.name) or []
        except metadata.PackageNotFoundError:
            continue  # of another platform, or an extra that is not installed
        found.add(key)
        for requirement in map(Requirement, more):
            extras = ("", *wanted.extras)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(requirement)
    return {name for name, *_ in found}


def licence(name: str) -> str:
    """Return what a package says of its licence."""
    told = metadata.metadata(name)
    classified = [c for c in told.get_all("Classifier", []) if c.startswith("License ::")]
    text = told.get("License") or ""
    return told.get("License-Expression") or "; ".join(classified) or text.partition("\n")[0]


def test_the_core_is_permissive():
    packages = needed(PROJECT["dependencies"])
    assert {"numpy", "onnxruntime", "pydantic-core"} <= packages
    assert {name: licence(name) for name in packages if not PERMISSIVE.search(licence(name))} == {}


def test_the_extras_are_permissive_but_for_what_is_named():
    extras = [
        requirement for name in EXTRAS.keys() - {"all", "dev"} for requirement in EXTRAS[name]
    ]
    others = {n: licence(n) for n in needed(extras) if not PERMISSIVE.search(licence(n))}
    assert others.keys() <= KNOWN.keys(), others
    assert all(KNOWN[name] in told for name, told in others.items())


@pytest.mark.parametrize("text", ["GPL-3.0-or-later", "MIT AND AGPL-3.0", "LIMITED", ""])
def test_others_are_noticed(text):
    assert not PERMISSIVE.search(text)
