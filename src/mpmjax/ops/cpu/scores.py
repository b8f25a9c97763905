"""From what all members say of a block of cells to its maps; the formulas are those of reference/lstm.py."""

from __future__ import annotations

import numpy as np

from mpmjax.ops._compile import compiled
from mpmjax.ops.cpu.formulas import of_knots
from mpmjax.ops.cpu.members import LOG2_E
from mpmjax.ops.cpu.numerics import exp2, log2
from mpmjax.ops.cpu.unit import BLOCK
from mpmjax.ops.plan import KINDS
from mpmjax.reference.lstm import DRIVE_END

_ECDF = KINDS.index("ecdf")


@compiled
def finish(rules, features, places, room, told):
    """The maps of the block, from what all members said of it, to told.floats and told.classes."""
    layers, members = rules.weight.size, told.surprise.shape[0]
    floats, line, total, at = told.floats, told.line, told.total, told.at
    prospectivity, favourability, anomaly, confidence, risk, spread, coverage, r, votes, margin, surprise = floats
    groups, quadrants, driver = told.classes
    _favourability(rules, features, places, room, line, total)
    for i in range(BLOCK):
        favourability[i] = line[i]
        coverage[i] = room[places.counts + i] / layers
    _rank(rules.fav, line, at)
    for i in range(BLOCK):
        prospectivity[i] = line[i]  # its rank, until anomaly is known
    _mean_and_spread(told.favourability, r, risk, line, total)
    spread[:] = 0.0
    total[:] = 0.0
    surprise[:] = 0.0
    for m in range(members):
        for i in range(BLOCK):
            surprise[i] += told.surprise[m, i]
            line[i] = told.surprise[m, i]
        _rank(rules.anomaly, line, at)
        for i in range(BLOCK):
            told.surprise[m, i] = line[i]
    for i in range(BLOCK):
        surprise[i] /= members
        line[i] = surprise[i]
    _rank(rules.anomaly, line, at)
    for i in range(BLOCK):
        anomaly[i] = line[i]
    _mean_and_spread(told.surprise, confidence, spread, line, total)  # confidence is overwritten below
    trust, cut = rules.trust, rules.cut
    base, slope = rules.noise
    for i in range(BLOCK):
        rank = np.float64(prospectivity[i])
        score = rank * (1.0 + trust * anomaly[i]) / (1.0 + trust)
        own = rank * trust * spread[i] / (1.0 + trust)
        away = abs(score - cut) / np.sqrt(base + slope * own * own)
        prospectivity[i], spread[i] = score, own
        confidence[i] = 1.0 / (1.0 + exp2(-LOG2_E * away))
    for i in range(BLOCK):
        quadrants[i] = 1 + (risk[i] > rules.quadrant[1]) + 2 * (r[i] < rules.quadrant[0])
    _vote(told.p, groups, votes, margin, line, total)
    _drive(rules, features, places, room, line, driver)


@compiled
def _favourability(rules, features, places, room, line, total):
    line[:] = 0.0
    total[:] = 0.0
    for layer in range(rules.weight.size):
        x, mask, weight = places.x + layer * features * BLOCK, places.mask + layer * BLOCK, rules.weight[layer]
        for i in range(BLOCK):
            line[i] += weight * room[x + i]  # 0 where missing
            total[i] += weight * room[mask + i]
    for i in range(BLOCK):
        line[i] = line[i] / total[i] if total[i] > 0.0 else 0.5


@compiled
def _rank(ranks, line, at):
    """Values to their ranks, in place."""
    of_knots(line, _ECDF, 0.0, ranks.x, ranks.y, ranks.slopes, ranks.inverse, ranks.reach, ranks.guide, at)


@compiled
def _mean_and_spread(values, mean, spread, line, total):
    """Mean and standard deviation over the members."""
    line[:] = 0.0
    total[:] = 0.0
    for m in range(values.shape[0]):
        for i in range(BLOCK):
            line[i] += values[m, i]
    for i in range(BLOCK):
        line[i] /= values.shape[0]
    for m in range(values.shape[0]):
        for i in range(BLOCK):
            away = values[m, i] - line[i]
            total[i] += away * away
    for i in range(BLOCK):
        mean[i], spread[i] = line[i], np.sqrt(total[i] / values.shape[0])


@compiled
def _vote(p, groups, votes, margin, best, second):
    """Group of the largest mean probability, the share of members whose own it is, and how far it is ahead in each."""
    members, count = p.shape[0], p.shape[1]
    best[:] = -1.0
    for k in range(count):
        second[:] = 0.0
        for m in range(members):
            for i in range(BLOCK):
                second[i] += p[m, k, i]
        for i in range(BLOCK):
            groups[i] = k + 1 if second[i] > best[i] else groups[i]
            best[i] = max(best[i], second[i])
    votes[:] = 0.0
    margin[:] = 0.0
    for m in range(members):
        for i in range(BLOCK):
            first, next_one, own = -1.0, -1.0, 0
            for k in range(count):
                value = p[m, k, i]
                if value > first:
                    first, next_one, own = value, first, k + 1
                elif value > next_one:
                    next_one = value
            votes[i] += own == groups[i]
            margin[i] += first - next_one
    for i in range(BLOCK):
        votes[i] /= members
        margin[i] /= members


@compiled
def _drive(rules, features, places, room, most, driver):
    """Number of the directed layer that says most, 0 where none is there."""
    most[:] = -np.inf
    driver[:] = 0
    last = rules.layer_rank.shape[1] - 1
    for layer in range(rules.weight.size):
        weight, ranks = rules.weight[layer], rules.layer_rank[layer]
        if weight <= 0.0:
            continue
        x, mask = places.x + layer * features * BLOCK, places.mask + layer * BLOCK
        for i in range(BLOCK):
            place = room[x + i] * np.float64(last)
            before = min(max(np.int64(place), 0), last - 1)
            rank = ranks[before] + (ranks[before + 1] - ranks[before]) * (place - before)
            said = -weight * log2(DRIVE_END - rank)
            better = (room[mask + i] > 0.0) & (said > most[i])
            driver[i] = layer + 1 if better else driver[i]
            most[i] = said if better else most[i]
