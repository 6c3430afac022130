"""Killed outright in the midst of its work, a run leaves no half output, and the next sweeps."""

import os

import pytest
from kill import campaign


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_killed_run_leaves_nothing_half_done():
    assert campaign(2, 3, ["enhance -j 1"]) == {}
