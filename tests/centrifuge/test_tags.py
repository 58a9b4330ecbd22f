"""Filters by tags."""

from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.centrifuge.samples import FILTERS, TAGS
from wirespeed.centrifuge import tags
from wirespeed.centrifuge.messages import FilterNode
from wirespeed.centrifuge.tags import check, prepared


def leaf(cmp: str, val: str = "", vals: tuple[str, ...] = (), key: str = "t") -> FilterNode:
    """Return a comparison."""
    return FilterNode(key=key, cmp=cmp, val=val, vals=vals)


def node(op: str, *nodes: FilterNode) -> FilterNode:
    """Return a node of other nodes."""
    return FilterNode(op=op, nodes=nodes)


X, Y = leaf("eq", "x"), leaf("eq", "y")


@pytest.mark.parametrize(
    ("filter_", "tag", "without"),
    [
        (leaf("eq", "x"), {"x": True, "y": False}, False),
        (leaf("neq", "x"), {"x": False, "y": True}, True),
        (leaf("in", vals=("x", "y")), {"x": True, "z": False}, False),
        (leaf("nin", vals=("x", "y")), {"x": False, "z": True}, True),
        (leaf("ex"), {"": True, "x": True}, False),
        (leaf("nex"), {"": False, "x": False}, True),
        (leaf("sw", "ab"), {"abc": True, "cab": False}, False),
        (leaf("ew", "ab"), {"cab": True, "abc": False}, False),
        (leaf("ct", "ab"), {"xaby": True, "ba": False}, False),
        (leaf("lt", "1.5"), {"1.4": True, "1.5": False, "9": False, "x": False, "NaN": False}, False),
        (leaf("lte", "1.5"), {"1.50": True, "1.51": False}, False),
        (leaf("gt", "-2"), {"10": True, "-2": False, "-3": False, "Infinity": False}, False),
        (leaf("gte", "9007199254740993"), {"9007199254740993": True, "9007199254740992": False}, False),
        (node("and", X, leaf("sw", "x")), {"x": True, "y": False}, False),
        (node("or", X, Y), {"x": True, "y": True, "z": False}, False),
        (node("not", X), {"x": False, "y": True}, True),
    ],
)
def test_filters_choose(filter_: FilterNode, tag: Mapping[str, bool], without: bool) -> None:
    """Each comparison and operation follows the protocol, also for a missing tag."""
    check(filter_)
    assert {value: prepared(filter_)({"t": value, "other": "x"}) for value in tag} == tag
    assert prepared(filter_)({"other": "x"}) is without


@pytest.mark.parametrize(
    ("filter_", "problem"),
    [
        (FilterNode(), "cmp"),
        (leaf("eq", key=""), "key"),
        (leaf("like", "x"), "'like'"),
        (leaf("gt", "1" * 65), "64"),
        (leaf("in"), "vals"),
        (leaf("nin"), "vals"),
        (leaf("lt", "x"), "number"),
        (node("xor", X), "'xor'"),
        (node("and"), "nodes"),
        (node("or"), "nodes"),
        (node("not"), "one node"),
        (node("not", X, Y), "one node"),
        (X._replace(nodes=(Y,)), "must not have nodes"),
        (node("and", *[X] * 100), "100 nodes"),
        (node("or", X, node("and", leaf("eq", key=""))), "key"),
    ],
)
def test_filters_that_make_no_sense_are_refused(filter_: FilterNode, problem: str) -> None:
    """A filter that is not valid is refused with a sentence that says why."""
    with pytest.raises(ValueError, match=problem):
        check(filter_)


def test_a_filter_that_is_too_deep_is_refused() -> None:
    """A filter that is too large or too deep is refused, however it was built."""
    filter_ = X
    for _ in range(40):
        filter_ = node("not", filter_)
    with pytest.raises(ValueError, match="deep"):
        check(filter_)


def test_numbers_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of a filter are read when it is prepared, and that of a tag once for all of its comparisons."""
    read: list[str] = []

    def note(text: str) -> Decimal:
        read.append(text)
        return Decimal(text)

    monkeypatch.setattr(tags, "Decimal", note)
    chosen = prepared(node("and", *(leaf("gte", str(number)) for number in range(50))))
    tags._known_number.cache_clear()
    assert [chosen({"t": "99.5"}) for _ in range(10)] == [True] * 10
    assert read == [*map(str, range(50)), "99.5"]


@given(FILTERS, TAGS)
def test_whatever_is_admitted_chooses(filter_: FilterNode, given_: Mapping[str, str]) -> None:
    """A valid filter returns True or False for any tags."""
    try:
        check(filter_)
    except ValueError:
        return
    assert prepared(filter_)(given_) in (True, False)


ODD = st.sampled_from(
    ["1e999999999999999999", "-1e-99999999", "sNaN", "inf", "1_0", "٣", "", " 1 ", "0" * 500]
) | st.text(max_size=5)
# Tuples, because to build named ones from keywords takes Hypothesis fifty times as long.
LEAVES = st.tuples(
    st.sampled_from(["t", "u", ""]),
    st.sampled_from(["eq", "in", "ex", "sw", "lt", "gte", "other"]),
    ODD,
    st.lists(ODD, max_size=2),
).map(lambda fields: FilterNode("", *fields))
OPERATORS = st.sampled_from(["and", "or", "not", "xor"])
ANY = st.recursive(
    LEAVES,
    lambda nodes: st.tuples(OPERATORS, st.lists(nodes, max_size=2)).map(
        lambda fields: FilterNode(fields[0], nodes=fields[1])
    ),
    max_leaves=8,
)


@given(ANY, st.dictionaries(st.sampled_from(["t", "u"]), ODD))
def test_a_checked_filter_never_fails(filter_: FilterNode, given_: Mapping[str, str]) -> None:
    """A filter that passes the check can be applied to any tags."""
    try:
        check(filter_)
    except ValueError:
        return
    assert prepared(filter_)(given_) in (True, False)
