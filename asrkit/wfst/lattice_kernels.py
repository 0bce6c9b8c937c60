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


@compiled
def word_arcs(begun, begun_costs, best, arcs, places, to_end, limit, beam):
    """Goes on as `next_words_apart`, and gathers for each word the places where it leads.

    Args:
        begun: (P,) places, in order.
        begun_costs: (P, 2) of getting there.
        best: (N, 2) infinite everywhere, and so again afterwards.
        arcs: Words, costs of the graph and of the frames (L,).
        places: Costs of ending (N,), sources and targets (L,).
        to_end: (N,).
        limit: Complete paths that cost more are left out.
        beam: Places on paths this much worse than the best one of their word are left out.

    Returns:
        The costs (2,) of ending without another word; the words (W,) in order, the lowest costs
        (W, 2) of getting to a place by each, the costs (W,) from there to an end, and the best
        place (W,); where those of each word begin (W + 1,); and all places (K,) with their costs
        (K, 2) above the lowest ones.
    """
    words, targets = arcs[0], places[2]
    ended, found, totals = next_words_apart(begun, begun_costs, best, arcs, places, to_end, limit)
    count = len(found)
    keys = np.empty(count, np.int64)
    for number in range(count):
        keys[number] = np.int64(words[found[number]]) * len(to_end) + targets[found[number]]
    order = np.argsort(keys, kind="mergesort")
    labels, lowest = np.empty(count, np.int64), np.empty((count, 2))
    ways, tops = np.empty(count), np.empty(count, np.int64)
    begins = np.zeros(count + 1, np.int64)
    reached, costs = np.empty(count, np.int64), np.empty((count, 2))
    size, kept, at = 0, 0, 0
    while at < count:
        word, first = words[found[order[at]]], kept
        while at < count and words[found[order[at]]] == word:
            number = order[at]
            place = targets[found[number]]
            cost, heard = totals[number, 0], totals[number, 1]
            if kept == first or reached[kept - 1] != place:
                reached[kept], costs[kept, 0], costs[kept, 1] = place, cost, heard
                kept += 1
            elif cost + heard < costs[kept - 1, 0] + costs[kept - 1, 1]:
                costs[kept - 1, 0], costs[kept - 1, 1] = cost, heard
            at += 1
        top, least = first, np.inf
        for one in range(first, kept):
            if costs[one, 0] + costs[one, 1] < costs[top, 0] + costs[top, 1]:
                top = one
            least = min(least, costs[one, 0] + costs[one, 1] + to_end[reached[one]])
        graph, frames = costs[top, 0], costs[top, 1]
        labels[size], lowest[size, 0], lowest[size, 1] = word, graph, frames
        end, nearest, way = first, np.inf, np.inf
        for one in range(first, kept):
            if costs[one, 0] + costs[one, 1] + to_end[reached[one]] <= least + beam:
                place, cost, heard = reached[one], costs[one, 0] - graph, costs[one, 1] - frames
                reached[end], costs[end, 0], costs[end, 1] = place, cost, heard
                if cost + heard < nearest:
                    nearest, tops[size] = cost + heard, place
                way = min(way, cost + heard + to_end[place])
                end += 1
        kept = end
        ways[size] = way
        size += 1
        begins[size] = kept
    labels, lowest, ways, tops = labels[:size], lowest[:size], ways[:size], tops[:size]
    return ended, labels, lowest, ways, tops, begins[: size + 1], reached[:kept], costs[:kept]


@compiled
def after_word(states, costs, word, backoff, grammar):
    """Goes from states of a grammar along a word, then along back-offs.

    Args:
        states: (H,) of the grammar.
        costs: (H,) of being there.
        word: Its label; 0 to go along back-offs only.
        backoff: Label of arcs to shorter histories, of which a state has at most one.
        grammar: Where the arcs of states begin, and labels, costs and targets of arcs, in the order
            of labels.

    Returns:
        The lowest cost; the states in order, none where no state has the word; and their costs
        above the lowest one.
    """
    begins, inputs, arc_costs, targets = grammar
    room = 16
    found, totals, count = np.empty(room, np.int64), np.empty(room), 0
    for number in range(len(states)):
        state, total = np.int64(states[number]), costs[number]
        if word > 0:
            arc = arc_of(state, word, begins, inputs)
            if arc < 0:
                continue
            # As small as the grammar's costs, as it has always been: sums decide what is the same.
            state = np.int64(targets[arc])
            total = np.float64(np.float32(total) + np.float32(arc_costs[arc]))
        while True:
            at = 0
            while at < count and found[at] != state:
                at += 1
            if at < count and totals[at] <= total:
                break
            if at == count:
                if count == room:
                    room *= 2
                    longer, wider = np.empty(room, np.int64), np.empty(room)
                    longer[:count], wider[:count] = found, totals
                    found, totals = longer, wider
                count += 1
            found[at], totals[at] = state, total
            arc = arc_of(state, backoff, begins, inputs)
            if arc < 0:
                break
            state, total = np.int64(targets[arc]), total + np.float64(arc_costs[arc])
    if count == 0:
        return np.inf, found[:0], totals[:0]
    least = totals[:count].min()
    order = np.argsort(found[:count])
    return least, found[order], totals[order] - least


@compiled
def arc_of(state, label, begins, inputs):
    """Returns the arc of a state that reads a label; -1 if there is none."""
    begin, end = begins[state], begins[state + 1]
    arc = begin + np.searchsorted(inputs[begin:end], label)
    if arc < end and inputs[arc] == label:
        return arc
    return -1
