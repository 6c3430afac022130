"""Examples in docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

import overtone

MODULES = ["overtone", *(m.name for m in pkgutil.walk_packages(overtone.__path__, "overtone."))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, monkeypatch, examples_dir):
    monkeypatch.chdir(examples_dir)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
