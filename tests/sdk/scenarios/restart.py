"""A restart of the server."""

from collections.abc import Sequence

from tests.sdk.kit import Flavour, Kit
from tests.sdk.stage import Site, Stage


def all_come_back(kit: Kit, site: Site, flavours: Sequence[Flavour]) -> None:
    """Clients receive earlier publications, learn that their positions are lost, and continue."""
    stages = [Stage(kit, site, flavour) for flavour in flavours]
    channel = stages[0].fresh("note")
    clients = [stage.connected() for stage in stages]
    subscriptions = [client.subscribed(channel) for client in clients]
    stages[0].publish(channel, *range(200))
    site.restart()
    for client, subscription in zip(clients, subscriptions, strict=True):
        assert subscription.values(200) == list(range(200))
        client.next("connecting")
        client.next("connecting", code=3001)
        client.next("connected")
        subscription.next("subscribed", was_recovering=True, recovered=False)
    stages[0].publish(channel, "after")
    for subscription in subscriptions:
        assert subscription.values(1) == ["after"]
    for stage in stages:
        stage.end()
