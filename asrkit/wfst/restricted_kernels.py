"""The loops of `restricted.py` over states and arcs, compiled by numba."""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import numpy as np

from asrkit.compiled import compiled


@compiled
def reached(seeds, begins, outputs, targets, sizes, place, stops):
    """Goes from seeds along all arcs that write nothing.

    Args:
        seeds: Distinct states of the graph.
        begins: Of the graph's arcs.
        outputs: Of the graph's arcs.
        targets: Of the graph's arcs.
        sizes: By word, above 0 for those that may be written.
        place: (S,) -1 everywhere, and so again afterwards.
        stops: (S,) not negative where the way ends.

    Returns:
        The states, seeds first; their order by number; and sources (places among the states) and
        numbers of the arcs between them, and of the arcs that write a word.
    """
    states, count = np.empty(max(64, 2 * len(seeds)), np.int64), 0
    for state in seeds:
        place[state], states[count] = count, state
        count += 1
    room = 256
    ends, arcs, size = np.empty(room, np.int64), np.empty(room, np.int64), 0
    spoken = np.empty(room, np.bool_)
    at = 0
    while at < count:
        state = states[at]
        for arc in range(begins[state], begins[state + 1] if stops[state] < 0 else 0):
            word, target = outputs[arc], targets[arc]
            if word > 0 and sizes[word] == 0:
                continue
            if size == len(arcs):
                ends, arcs, spoken = longer(ends), longer(arcs), longer(spoken)
            ends[size], arcs[size], spoken[size] = at, arc, word > 0
            size += 1
            if word == 0 and place[target] < 0:
                if count == len(states):
                    states = longer(states)
                place[target], states[count] = count, target
                count += 1
        at += 1
    for at in range(count):
        place[states[at]] = -1
    states, ends, arcs, spoken = states[:count], ends[:size], arcs[:size], spoken[:size]
    silent = ~spoken
    inside, leaving = (ends[silent], arcs[silent]), (ends[spoken], arcs[spoken])
    return states, np.argsort(states), inside, leaving


@compiled
def backwards(seeds, begins, into, taken):
    """Goes from seeds against the direction of arcs.

    Args:
        seeds: States, perhaps several times.
        begins: (N + 1,) where the arcs into each state begin.
        into: The states that these come from.
        taken: (N,) false everywhere, and so again afterwards.

    Returns:
        All states, in any order.
    """
    states, count = np.empty(max(64, 2 * len(seeds)), np.int64), 0
    for state in seeds:
        if not taken[state]:
            taken[state], states[count] = True, state
            count += 1
    at = 0
    while at < count:
        for entry in range(begins[states[at]], begins[states[at] + 1]):
            state = into[entry]
            if not taken[state]:
                if count == len(states):
                    states = longer(states)
                taken[state], states[count] = True, state
                count += 1
        at += 1
    for at in range(count):
        taken[states[at]] = False
    return states[:count]


@compiled
def longer(array):
    """Returns a copy with room for twice as many entries."""
    found = np.empty(2 * len(array), array.dtype)
    found[: len(array)] = array
    return found


@compiled
def leading_to_ends(ended, sources, targets):
    """Returns which states (N,) lead to one of those where paths end."""
    useful = ended.copy()
    begins = np.zeros(len(ended) + 1, np.int64)
    for target in targets:
        begins[target + 1] += 1
    begins = np.cumsum(begins)
    into, filled = np.empty(len(targets), np.int64), begins[:-1].copy()
    for arc in range(len(targets)):
        into[filled[targets[arc]]] = sources[arc]
        filled[targets[arc]] += 1
    waiting, size = np.empty(len(ended), np.int64), 0
    for state in range(len(ended)):
        if useful[state]:
            waiting[size] = state
            size += 1
    while size:
        size -= 1
        state = waiting[size]
        for entry in range(begins[state], begins[state + 1]):
            source = into[entry]
            if not useful[source]:
                useful[source] = True
                waiting[size] = source
                size += 1
    return useful
