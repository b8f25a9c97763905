"""Notes: what is a fact and what a doubt, and what holds for several layers said once."""

from __future__ import annotations

from mpmjax.evidence.remarks import Fact, Remark, doubts, facts, gathered, sentences


def test_facts_and_doubts_share_the_notes() -> None:
    notes = ["look at this", Fact("this was done"), "and at this"]
    assert facts(notes) == ["this was done"]
    assert doubts(notes) == ["look at this", "and at this"]
    assert type(facts(notes)[0]) is str, "plain values for run.json"


def test_what_is_said_of_several_layers_is_said_once_where_it_came_first() -> None:
    notes = ["layer 'a': x.csv: 3 rows are empty.", "[grid] is large.", "layer 'b': y.csv: 3 rows are empty."]
    notes += ["layer 'c': x.csv: 3 rows are empty.", "layer 'a': x.csv: 4 rows are empty."]
    assert gathered(notes) == [
        "layers 'a', 'c': x.csv: 3 rows are empty.",
        "[grid] is large.",
        "layer 'b': y.csv: 3 rows are empty.",
        "layer 'a': x.csv: 4 rows are empty.",
    ]


def test_a_remark_without_a_name_is_its_text() -> None:
    assert sentences([Remark("", "the disk is full"), Remark("mask", "is empty")]) == [
        "the disk is full", "mask: is empty",
    ]  # fmt: skip
