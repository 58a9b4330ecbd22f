"""The official SDKs, driven by tests: one interface for all of them, and the scenarios that each must pass."""

import pytest

pytest.register_assert_rewrite("tests.sdk.kit", "tests.sdk.scenarios")
