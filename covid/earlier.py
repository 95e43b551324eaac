"""Files of earlier versions, read under today's names: the one place that knows the old ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_NETWORKS = {"strong": "pooled"}  # the network, its preset and its experiment
_KEYS = {"films": "images", "floor": "shortcut_baseline", "cues": "features"}  # in audit.json
_KINDS = {"covering": "occlusion"}
_ROWS = {
    "lungs covered": "lungs occluded",
    "floor: file cues": "baseline: file features",
    "floor: file cues, equal classes": "baseline: file features, equal classes",
    "floor: pixel cues": "baseline: pixel features",
    "floor: pixel cues, equal classes": "baseline: pixel features, equal classes",
}


def config(values: dict[str, Any]) -> dict[str, Any]:
    """The settings of a config.json.

    >>> config({"network": "strong", "size": 112})
    {'network': 'pooled', 'size': 112}
    """
    names = {key: _NETWORKS[values[key]] for key in ("network", "preset") if values.get(key) in _NETWORKS}
    return {**values, **names}


def audit(values: dict[str, Any]) -> dict[str, Any]:
    """The content of a run's audit.json.

    >>> audit({"films": 9, "floor": [{"name": "floor: file cues", "cues": ["letters"]}]})
    {'images': 9, 'shortcut_baseline': [{'name': 'baseline: file features', 'features': ['letters']}]}
    """
    return {
        _KEYS.get(key, key): [_row(row) for row in value] if _is_table(value) else value
        for key, value in values.items()
    }


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """A condition or a baseline of an audit."""
    renamed = {_KEYS.get(key, key): value for key, value in row.items()}
    for key, names in (("name", _ROWS), ("kind", _KINDS)):
        if renamed.get(key) in names:
            renamed[key] = names[renamed[key]]
    return renamed


def experiment_folder(folder: Path, name: str) -> Path:
    """Where the runs of an experiment are in a folder that `covid reproduce` wrote."""
    for old, new in _NETWORKS.items():
        if name == new and not (folder / new).exists() and (folder / old).exists():
            return folder / old
    return folder / name
