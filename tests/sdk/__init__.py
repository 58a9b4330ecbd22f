"""The official SDKs, driven by tests: one way to speak to all of them, and the scenarios that hold for each."""

import pytest

pytest.register_assert_rewrite("tests.sdk.kit", "tests.sdk.scenarios")
