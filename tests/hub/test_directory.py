"""The directory of topics at the broker."""

from collections.abc import Callable
from typing import cast

import pytest

from tests.brokers.simulated import Network, SimulatedBroker
from wirespeed.errors import BrokerDown
from wirespeed.hub import directory
from wirespeed.hub.directory import Directory
from wirespeed.hub.outbox import Outbox
from wirespeed.log.position import Position
from wirespeed.log.record import Replica, Retention

pytestmark = pytest.mark.anyio


class Unwilling(SimulatedBroker):
    """A broker that refuses at first."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(Network())
        self.errors = list(errors)

    async def attach(
        self, name: str, retention: Retention, replica: Replica, since: Position | None = None
    ) -> Callable[[], None]:
        """Refuse once with each error."""
        if self.errors:
            raise self.errors.pop(0)
        return lambda: None


async def test_opens_after_any_error(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Attempts go on until one succeeds, also after an error that is not expected, which is logged."""
    monkeypatch.setattr(directory, "RETRY", 0.0)
    broker = Unwilling(BrokerDown("away"), RuntimeError("no permission"), BrokerDown("away"))
    await Directory(broker, cast("Outbox", None), {}).open_soon()
    assert broker.errors == []
    assert [str(each.exc_info[1]) for each in caplog.records if each.exc_info] == ["no permission"]
