"""Settings of the tests of all packages here, when they run in a clone of genbench."""

from __future__ import annotations

from collection import pytest_collection_finish, pytest_collection_modifyitems, pytest_unconfigure  # noqa: F401
