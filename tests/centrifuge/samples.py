"""Messages of every kind, for the tests of both formats."""

from hypothesis import strategies as st

from wirespeed.centrifuge import messages as m
from wirespeed.centrifuge.codes import Error

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
IDS = st.integers(1, 2**32 - 1)
DATA = st.sampled_from([b"", b"1", b"{}", b'{"a":[1,"\xd0\xaf"]}', b'"text"', b"null"])
SOME_DATA = st.sampled_from([b"1", b"{}", b'{"a":[1,"\xd0\xaf"]}', b'"text"'])

FILTERS = st.recursive(
    st.builds(m.FilterNode, st.just(""), TEXT, TEXT, TEXT, st.lists(TEXT, max_size=2), st.just([])),
    lambda nodes: st.builds(
        m.FilterNode, TEXT, TEXT, TEXT, TEXT, st.lists(TEXT, max_size=2), st.lists(nodes, max_size=2)
    ),
    max_leaves=4,
)


def subscribe(id_: st.SearchStrategy[int]) -> st.SearchStrategy[m.Subscribe]:
    """A subscribe command."""
    flags = (st.booleans(), st.booleans(), st.booleans())
    return st.builds(
        m.Subscribe, id_, TEXT, TEXT, st.booleans(), TEXT, UINT64, SOME_DATA, *flags, TEXT,
        st.none() | FILTERS, st.integers(0, 3), st.integers(0, 4),
    )  # fmt: skip


COMMANDS: st.SearchStrategy[m.Command] = st.one_of(
    st.builds(
        m.Connect, IDS, TEXT, SOME_DATA, st.dictionaries(TEXT, subscribe(st.just(0)), max_size=2), TEXT, TEXT,
        st.dictionaries(TEXT, TEXT, max_size=2), st.integers(0, 1),
    ),
    subscribe(IDS),
    st.builds(m.Unsubscribe, IDS, TEXT),
    st.builds(m.Publish, IDS, TEXT, SOME_DATA, st.integers(0, 1), TEXT, st.booleans()),
    st.builds(m.Presence, IDS, TEXT),
    st.builds(m.PresenceStats, IDS, TEXT),
    st.builds(
        m.History, IDS, TEXT, st.integers(-(2**31), 2**31 - 1),
        st.none() | st.builds(m.StreamPosition, UINT64, TEXT), st.booleans(),
    ),
    st.builds(m.Rpc, IDS, TEXT, SOME_DATA),
    st.builds(m.Send, SOME_DATA),
    st.builds(m.Refresh, IDS, TEXT),
    st.builds(m.SubRefresh, IDS, TEXT, TEXT, st.integers(0, 2)),
    st.builds(m.Ping, IDS),
    st.just(m.Pong()),
)  # fmt: skip

INFOS = st.builds(m.ClientInfo, TEXT, TEXT, DATA, DATA)
TAGS = st.dictionaries(TEXT, TEXT, max_size=2)
PUBLICATIONS = st.builds(m.Pub, SOME_DATA, UINT64, TEXT, st.none() | INFOS, TAGS)
POSITIONS = (st.booleans(), TEXT, UINT64, st.booleans(), DATA)

SUBSCRIBED = st.builds(
    m.SubscribeResult, st.booleans(), UINT32, st.booleans(), TEXT, st.lists(PUBLICATIONS, max_size=2),
    st.booleans(), UINT64, st.booleans(), DATA, st.booleans(), st.booleans(),
)  # fmt: skip

RESULTS: st.SearchStrategy[m.Result] = st.one_of(
    st.builds(
        m.ConnectResult, TEXT, TEXT, st.booleans(), UINT32, DATA, st.dictionaries(TEXT, SUBSCRIBED, max_size=2),
        UINT32, st.booleans(), TEXT, TEXT,
    ),
    SUBSCRIBED,
    st.just(m.UnsubscribeResult()),
    st.just(m.PublishResult()),
    st.builds(m.PresenceResult, st.dictionaries(TEXT, INFOS, max_size=2)),
    st.builds(m.PresenceStatsResult, UINT32, UINT32),
    st.builds(m.HistoryResult, st.lists(PUBLICATIONS, max_size=2), TEXT, UINT64),
    st.builds(m.RpcResult, DATA),
    st.builds(m.RefreshResult, TEXT, TEXT, st.booleans(), UINT32),
    st.builds(m.SubRefreshResult, st.booleans(), UINT32),
)  # fmt: skip

ERRORS = st.builds(Error, UINT32, TEXT, st.booleans(), detail=st.none())

PUSHES: st.SearchStrategy[m.Push] = st.one_of(
    st.builds(m.PublicationPush, TEXT, PUBLICATIONS),
    st.builds(m.JoinPush, TEXT, INFOS),
    st.builds(m.LeavePush, TEXT, INFOS),
    st.builds(m.UnsubscribePush, TEXT, UINT32, TEXT),
    st.builds(m.MessagePush, SOME_DATA),
    st.builds(m.SubscribePush, TEXT, *POSITIONS),
    st.builds(m.DisconnectPush, UINT32, TEXT),
    st.builds(m.RefreshPush, st.booleans(), UINT32),
)  # fmt: skip
