"""The loops of `token_passing.py` over tokens, arcs and links, compiled by numba.

`graph` is begins, reading, inputs, costs and targets of its arcs. Other arrays are those of the
links, as described there; `place` (S,) holds the token of each state of the graph
in the frame that is being made, -1 for none, and is -1 everywhere between calls.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import numpy as np

from asrkit.compiled import compiled


@compiled
def grown(array, size):
    """Returns a copy with room for twice as many entries."""
    longer = np.empty(2 * len(array), array.dtype)
    longer[:size] = array[:size]
    return longer


@compiled
def begin(start, graph, place):
    """Returns the tokens before the first frame, and the links between them."""
    states, costs = np.empty(16, np.int32), np.empty(16)
    states[0], costs[0], place[start] = start, 0.0, 0
    states, costs, count = spread(states, costs, 1, np.inf, graph, place)
    links = silent_links(states, costs, count, np.inf, graph, place)
    forget(states, count, place)
    return states[:count], costs[:count], links


@compiled
def frame(row, states, costs, graph, place, beam, max_active, lattice_beam):
    """Moves tokens over one frame with scores (S,).

    Returns:
        States and costs of the new tokens; sources, targets, arcs and negative scores of the links
        to them; and sources, targets and arcs of the links between them.
    """
    limit, bound = bounds(row, states, costs, graph, beam, max_active)
    found = read(row, states, costs, limit, bound, graph, place, beam, lattice_beam)
    new_states, new_costs, count, bound, links = found
    new_states, new_costs, count = spread(new_states, new_costs, count, bound, graph, place)
    links = near_best(costs, new_costs, graph, lattice_beam, links)
    silent = silent_links(new_states, new_costs, count, lattice_beam, graph, place)
    forget(new_states, count, place)
    return new_states[:count], new_costs[:count], links, silent


@compiled
def forget(states, count, place):
    """Makes `place` -1 again."""
    for token in range(count):
        place[states[token]] = -1


@compiled
def bounds(row, states, costs, graph, beam, max_active):
    """Returns the highest costs of tokens that go on, and a first one for the next frame."""
    begins, reading, inputs, arc_costs, targets = graph
    if not len(costs):
        return np.inf, np.inf
    best = costs.argmin()
    limit, bound = costs[best] + beam, np.inf
    if len(costs) > max_active:
        limit = min(limit, np.partition(costs, max_active)[max_active])
    for arc in range(reading[states[best]], begins[states[best] + 1]):
        bound = min(bound, costs[best] + arc_costs[arc] - row[inputs[arc] - 1] + beam)
    return limit, bound


@compiled
def read(row, states, costs, limit, bound, graph, place, beam, lattice_beam):
    """Lets tokens go along arcs that read a label; returns new tokens, the bound and links."""
    begins, reading, inputs, arc_costs, targets = graph
    new_states, new_costs = np.empty(max(256, 2 * len(states)), np.int32), np.empty(0)
    new_costs = np.empty(len(new_states))
    room = max(512, 4 * len(states))
    sources, ends = np.empty(room, np.int32), np.empty(room, np.int32)
    arcs, negative = np.empty(room, np.int32), np.empty(room, np.float32)
    count = size = 0
    for token in range(len(states)):
        if costs[token] > limit:
            continue
        state = states[token]
        for arc in range(reading[state], begins[state + 1]):
            score = -row[inputs[arc] - 1]
            total = costs[token] + arc_costs[arc] + score
            if total > bound:
                continue
            bound = min(bound, total + beam)
            target = targets[arc]
            other = place[target]
            if other < 0:
                if count == len(new_states):
                    new_states, new_costs = grown(new_states, count), grown(new_costs, count)
                other = count
                place[target], new_states[other], new_costs[other] = other, target, total
                count += 1
            elif total < new_costs[other]:
                new_costs[other] = total
            elif total > new_costs[other] + lattice_beam:
                continue
            if size == len(sources):
                sources, ends = grown(sources, size), grown(ends, size)
                arcs, negative = grown(arcs, size), grown(negative, size)
            sources[size], ends[size], arcs[size], negative[size] = token, other, arc, score
            size += 1
    links = (sources[:size], ends[:size], arcs[:size], negative[:size])
    return new_states, new_costs, count, bound, links


@compiled
def spread(states, costs, count, cutoff, graph, place):
    """Lets tokens go along arcs that read nothing; returns their arrays and count."""
    begins, reading, inputs, arc_costs, targets = graph
    waiting = np.empty(max(16, 2 * count), np.int32)
    size = 0
    for token in range(count):
        if reading[states[token]] > begins[states[token]]:
            waiting[size] = token
            size += 1
    while size:
        size -= 1
        token = waiting[size]
        for arc in range(begins[states[token]], reading[states[token]]):
            total = costs[token] + arc_costs[arc]
            if total > cutoff:
                continue
            target = targets[arc]
            other = place[target]
            if other < 0:
                if count == len(states):
                    states, costs = grown(states, count), grown(costs, count)
                other = count
                place[target], states[other], costs[other] = other, target, np.inf
                count += 1
            if total < costs[other]:
                costs[other] = total
                if reading[target] > begins[target]:
                    if size == len(waiting):
                        waiting = grown(waiting, size)
                    waiting[size] = other
                    size += 1
    return states, costs, count


@compiled
def near_best(costs, new_costs, graph, slack, links):
    """Returns the links within slack of the best way to their target, now that it is known."""
    sources, ends, arcs, negative = links
    arc_costs = graph[3]
    size = 0
    for link in range(len(sources)):
        token, other, arc = sources[link], ends[link], arcs[link]
        if costs[token] + arc_costs[arc] + negative[link] <= new_costs[other] + slack:
            sources[size], ends[size] = token, other
            arcs[size], negative[size] = arc, negative[link]
            size += 1
    return sources[:size], ends[:size], arcs[:size], negative[:size]


@compiled
def silent_links(states, costs, count, slack, graph, place):
    """Returns the links along arcs that read nothing, within slack of the best way there."""
    begins, reading, inputs, arc_costs, targets = graph
    room = 16
    for token in range(count):
        room += reading[states[token]] - begins[states[token]]
    sources, ends = np.empty(room, np.int32), np.empty(room, np.int32)
    arcs = np.empty(room, np.int32)
    size = 0
    for token in range(count):
        for arc in range(begins[states[token]], reading[states[token]]):
            other = place[targets[arc]]
            if other >= 0 and costs[token] + arc_costs[arc] <= costs[other] + slack:
                sources[size], ends[size], arcs[size] = token, other, arc
                size += 1
    return sources[:size], ends[:size], arcs[:size]


@compiled
def sweep(costs, stages, sources, targets, arcs, scores, arc_costs, first, ends, lattice_beam):
    """Returns how far the best path through each token is behind, and which links stay."""
    extra = np.full(len(costs), np.inf)
    extra[first:] = ends
    kept = np.zeros(len(sources), np.bool_)
    for stage in range(len(stages) - 2, -1, -1):
        changed = True
        while changed:  # links within a frame depend on each other
            changed = False
            for link in range(stages[stage], stages[stage + 1]):
                source, target = sources[link], targets[link]
                behind = costs[source] + arc_costs[arcs[link]] + scores[link] - costs[target]
                behind = max(behind, 0.0) + extra[target]
                kept[link] = behind <= lattice_beam
                if kept[link] and behind < extra[source] - 1e-9:
                    extra[source] = behind
                    changed = stage % 2 == 0
    return extra, kept


@compiled
def places(count, stages, sources, targets):
    """Returns the frame of each token, and how many links within the frame lead there at most."""
    frames, depths = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for stage in range(len(stages) - 1):
        changed = True
        while changed:
            changed = False
            for link in range(stages[stage], stages[stage + 1]):
                target = targets[link]
                frames[target] = (stage + 1) // 2
                if stage % 2 == 0 and depths[target] <= depths[sources[link]]:
                    depths[target] = depths[sources[link]] + 1
                    changed = True
    return frames, depths
