"""Definitions: streams, calls, feeds and topics as they were declared, and the types that go with them."""

from .address import AddressForm, KeyAddresses
from .client import ACTIONS, Client, ClientGroup, ListedClient, Reachable, perform, reached
from .connection import Connection, Subscribed
from .declaration import Declaration, declaration_of, topic_of
from .describe import Definition, Description, ParameterDescription, Placed, describe
from .handles import Feed, Publication, Publications, RowChange, Topic, Watchable, key_of, valid, watched_of
from .health import MOST_REASON, SourceHealth, SourceRefusal
from .inlet import Inlet, running
from .key import Key, OpenKey, Validated, by_spelling, copied, flattened
from .naming import name_of, named, placeholders, spellings, spellings_in, title, words_of
from .receipt import Receipt, is_awaited, on_settled, settle
from .revocation import Criteria, Revocable, Revocation, settle_revocation
from .statistics import DURATIONS, LATENCIES, BrokerHealth, Histogram, LoopLag, RunStatistics, WatchStatistics
from .stream import Call, Intake, Overlap, Stream, TakesMessages
from .tagged import Snapshot, Tagged, has_appends, has_snapshots, split, untagged, whole
from .values import type_of_row, values_of
from .watched import (
    AfterEnd,
    AppHub,
    FeedDefinition,
    Handler,
    HistoryOption,
    KeepOption,
    Loader,
    OnLag,
    RunOption,
    Seen,
    TopicDefinition,
    Watched,
    WatchedOptions,
)
from .written import written
