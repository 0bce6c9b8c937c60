"""The loops of `word_lattice.py` over the arcs of a lattice, compiled by numba.

Arcs are sorted by their source, and lead to places of higher numbers.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import numpy as np

from asrkit.compiled import compiled


@compiled
def best_path_of(words, sequence, costs, finals, sources, targets):
    """Returns the arcs of the best path that writes a sequence (W,); empty if there is none."""
    size = len(sequence)
    best = np.full((len(finals), size + 1), np.inf)
    before = np.full((len(finals), size + 1), -1, np.int64)
    best[0, 0] = 0.0
    for arc in range(len(sources)):
        source, target, word = sources[arc], targets[arc], words[arc]
        for written in range(size + 1):
            if best[source, written] == np.inf:
                continue
            after = written
            if word:
                if written == size or sequence[written] != word:
                    continue
                after = written + 1
            total = best[source, written] + costs[arc]
            if total < best[target, after]:
                best[target, after], before[target, after] = total, arc
    place = (best[:, size] + finals).argmin()
    path = np.empty(len(sources), np.int64)
    if best[place, size] + finals[place] == np.inf:
        return path[:0], False
    count, written = 0, size
    while before[place, written] >= 0:
        arc = before[place, written]
        path[count] = arc
        count += 1
        place = sources[arc]
        if words[arc]:
            written -= 1
    return path[:count][::-1], True


@compiled
def costs_to_end(costs, finals, sources, targets):
    """Returns the cost of the best way from each place to an end."""
    found = finals.copy()
    for arc in range(len(sources) - 1, -1, -1):
        total = costs[arc] + found[targets[arc]]
        if total < found[sources[arc]]:
            found[sources[arc]] = total
    return found


@compiled
def next_words(begun, begun_costs, words, costs, finals, sources, targets, to_end):
    """Goes on from places, given in order, and the costs of getting there, to the next word.

    Returns:
        The cost of ending without another word; and the arcs that write one, with the costs of
        the best way over each.
    """
    best = np.full(len(finals), np.inf)
    for number in range(len(begun)):
        best[begun[number]] = begun_costs[number]
    first = np.searchsorted(sources, begun[0])
    found, totals = np.empty(len(sources) - first, np.int64), np.empty(len(sources) - first)
    count = 0
    for arc in range(first, len(sources)):
        total = best[sources[arc]] + costs[arc]
        if total + to_end[targets[arc]] == np.inf:
            continue
        if words[arc]:
            found[count], totals[count] = arc, total
            count += 1
        elif total < best[targets[arc]]:
            best[targets[arc]] = total
    return (best + finals).min(), found[:count], totals[:count]


@compiled
def arc_posteriors(costs, finals, sources, targets):
    """Returns the logarithms of how probable each arc is, all paths adding up to one."""
    forward = np.full(len(finals), -np.inf)
    forward[0] = 0.0
    for arc in range(len(sources)):
        forward[targets[arc]] = np.logaddexp(
            forward[targets[arc]], forward[sources[arc]] - costs[arc]
        )
    backward = -finals
    for arc in range(len(sources) - 1, -1, -1):
        backward[sources[arc]] = np.logaddexp(
            backward[sources[arc]], backward[targets[arc]] - costs[arc]
        )
    found = np.empty(len(sources))
    for arc in range(len(sources)):
        found[arc] = forward[sources[arc]] - costs[arc] + backward[targets[arc]] - backward[0]
    return found


@compiled
def log_sum(costs, finals, sources, targets):
    """Returns the logarithm of the sum of all paths' exp(-cost)."""
    forward = np.full(len(finals), -np.inf)
    forward[0] = 0.0
    for arc in range(len(sources)):
        reached = forward[sources[arc]] - costs[arc]
        if reached > -np.inf:
            forward[targets[arc]] = np.logaddexp(forward[targets[arc]], reached)
    total = -np.inf
    for place in range(len(finals)):
        if forward[place] - finals[place] > -np.inf:
            total = np.logaddexp(total, forward[place] - finals[place])
    return total


@compiled
def next_words_apart(begun, begun_costs, best, arcs, places, to_end, limit):
    """Goes on as `next_words`, with costs of graph and frames apart.

    Args:
        begun: (P,) places, in order.
        begun_costs: (P, 2) of getting there.
        best: (N, 2) infinite everywhere, and so again afterwards.
        arcs: Words, costs of the graph and of the frames (L,).
        places: Costs of ending (N,), sources and targets (L,).
        to_end: (N,).
        limit: Complete paths that cost more are left out.

    Returns:
        The costs (2,) of ending without another word, infinite where that costs too much; the arcs
        that write one; and the costs of the best way over each (A, 2).
    """
    words, graph_costs, acoustic_costs = arcs
    finals, sources, targets = places
    last = begun[0]
    for number in range(len(begun)):
        best[begun[number], 0] = begun_costs[number, 0]
        best[begun[number], 1] = begun_costs[number, 1]
        last = max(last, begun[number])
    ended = np.full(2, np.inf)
    found, totals, count = np.empty(64, np.int64), np.empty((64, 2)), 0
    place, arc = begun[0], np.searchsorted(sources, begun[0])
    lowest = limit
    while place <= last:
        graph, frames = best[place, 0], best[place, 1]
        best[place, 0] = best[place, 1] = np.inf
        reached = graph < np.inf
        if reached and graph + frames + finals[place] <= lowest:
            lowest = graph + frames + finals[place]
            ended[0], ended[1] = graph + finals[place], frames
        while arc < len(sources) and sources[arc] == place:
            target = targets[arc]
            cost, heard = graph + graph_costs[arc], frames + acoustic_costs[arc]
            if reached and cost + heard + to_end[target] <= limit:
                if words[arc]:
                    if count == len(found):
                        longer, wider = np.empty(2 * count, np.int64), np.empty((2 * count, 2))
                        longer[:count], wider[:count] = found, totals
                        found, totals = longer, wider
                    found[count], totals[count, 0], totals[count, 1] = arc, cost, heard
                    count += 1
                elif cost + heard < best[target, 0] + best[target, 1]:
                    best[target, 0], best[target, 1] = cost, heard
                    last = max(last, target)
            arc += 1
        place += 1
    return ended, found[:count], totals[:count]
