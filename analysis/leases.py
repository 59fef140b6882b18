"""What provisioning noted of a leased host: the leases that served it in a campaign, and so what it cost.

Format: leases.json, a JSON list in order of time with an object for each lease; docs/decisions/0002-log-contract.md.
"""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Lease:
    """One lease of one machine; '' and NaN = not known.

    Attributes:
        type: of node or device, as the site calls it.
        end_utc: as agreed, extensions included.
        released_utc: when it was given back; '' where the logs do not say that it was.
        node_hours: from the start until it was given back, or else until the agreed end.
        service_units: what these hours cost in the testbed's currency.
    """

    site: str = ""
    name: str = ""
    type: str = ""
    start_utc: str = ""
    end_utc: str = ""
    released_utc: str = ""
    node_hours: float = math.nan
    service_units: float = math.nan


def parse(entry: object) -> Lease:
    """Read one entry of leases.json.

    Raises:
        ValueError: its times or its price cannot be used; the message says which.
    """
    if not isinstance(entry, dict):
        raise ValueError("not a JSON object")
    start, end = _time(entry, "start_utc"), _time(entry, "end_utc")
    released = end if entry.get("released_utc") is None else _time(entry, "released_utc")
    if end < start:
        raise ValueError(f"end_utc {entry['end_utc']} is before start_utc {entry['start_utc']}")
    # One that was given back before it began has cost nothing.
    hours = max(0.0, (min(released, end) - start).total_seconds() / 3600)
    names = (_text(entry.get(key)) for key in ("site", "lease", "type", "start_utc", "end_utc", "released_utc"))
    return Lease(*names, node_hours=hours, service_units=hours * _su_per_hour(entry))


def _time(entry: Mapping[str, Any], key: str) -> datetime:
    try:
        return datetime.strptime(entry.get(key), _TIME)
    except (TypeError, ValueError):
        found = reprlib.repr(entry.get(key))
        raise ValueError(f"{key} is {found}, expected a time like 2026-11-25T16:00:00Z") from None


def _su_per_hour(entry: Mapping[str, Any]) -> float:
    price = entry.get("su_per_hour")
    if price is None:
        return math.nan
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price <= sys.float_info.max:
        raise ValueError(f"su_per_hour is {reprlib.repr(price)}, expected a number or null")
    return float(price)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
