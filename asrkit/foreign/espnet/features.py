"""ESPnet's default frontend and its normalisation, as features here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from asrkit.foreign.part import Part
from asrkit.foreign.rules import Rule, rename
from asrkit.foreign.settings import Problems, Settings

FRONTEND = {
    "fs": 16000,
    "n_fft": 512,
    "win_length": None,
    "hop_length": 128,
    "window": "hann",
    "center": True,
    "normalized": False,
    "onesided": True,
    "n_mels": 80,
    "fmin": None,
    "fmax": None,
    "htk": False,
    "frontend_conf": None,
    "apply_stft": True,
}
MULTIPLES = {"k": 1000, "": 1}


def features(config: Mapping[str, Any], problems: Problems) -> Part:
    """Returns the features of a configuration."""
    if config.get("frontend") != "default":
        problems.add(f"frontend is {config.get('frontend')!r}, expected 'default'")
    given = Settings("frontend_conf", config.get("frontend_conf"), FRONTEND, problems)
    for key in ("window", "center", "normalized", "onesided", "htk", "apply_stft"):
        given.require(key, FRONTEND[key])
    normalization, rules = _normalization(config, problems)
    tree = {
        "type": "centred_log_mel",
        "num_mels": given.number("n_mels"),
        "sample_rate": sample_rate(given["fs"], problems),
        "fft_size": given.number("n_fft"),
        "window_size": given["win_length"],
        "shift_size": given.number("hop_length"),
        "low_frequency": float(given["fmin"] or 0),
        "high_frequency": None if given["fmax"] is None else float(given["fmax"]),
        "normalization": normalization,
        "signal_normalization": _signal_normalization(config, problems),
    }
    return Part(tree, rules)


def sample_rate(given: object, problems: Problems) -> int:
    """Returns samples per second of numbers such as 16000 and "16k"."""
    found = re.fullmatch(r"([\d.]+)\s*(k?)(hz)?", str(given).lower())
    if found is None:
        problems.add(f"frontend_conf.fs: expected samples per second, got {given!r}")
        return 16000
    return round(float(found[1]) * MULTIPLES[found[2]])


def _signal_normalization(config: Mapping[str, Any], problems: Problems) -> str | dict[str, Any]:
    """Returns what becomes of samples; the preprocessor does that when decoding, too."""
    level = config.get("speech_volume_normalize")
    if level is None:
        return "none"
    if isinstance(level, bool) or not isinstance(level, int | float) or level <= 0:
        problems.add(f"speech_volume_normalize is {level!r}, expected a number above 0 or null")
        return "none"
    return {"type": "peak", "level": float(level)}


def _normalization(
    config: Mapping[str, Any], problems: Problems
) -> tuple[str | dict[str, Any], list[Rule]]:
    kind, conf = config.get("normalize"), config.get("normalize_conf")
    if kind is None:
        return "none", []
    if kind == "global_mvn":
        keys = {"stats_file": None, "norm_means": True, "norm_vars": True, "eps": 1e-20}
        given = Settings("normalize_conf", conf, keys, problems)
        given.require("norm_means", True)
        given.require("norm_vars", True)
        return "global", [
            rename("features.normalization.mean", "normalize.mean"),
            rename("features.normalization.deviation", "normalize.std"),
        ]
    if kind == "utterance_mvn":
        keys = {"norm_means": True, "norm_vars": False, "eps": 1e-20}
        given = Settings("normalize_conf", conf, keys, problems)
        given.require("norm_means", True)
        return {"type": "utterance", "eps": given["eps"], "variance": given["norm_vars"]}, []
    problems.add(f"normalize is {kind!r}, expected 'global_mvn', 'utterance_mvn' or null")
    return "none", []
