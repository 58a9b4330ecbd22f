"""The hub of one app: its logs, watchers, lanes and connections, and the broker that joins it with other processes."""

from .hub import Hub
from .sessions import Statistics
from .totals import ClusterStatistics
