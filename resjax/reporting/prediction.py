"""What the start alone says of training, by the limits that `report_calibration` chose."""

from collections.abc import Mapping

from resjax.reporting.checks import BAD, NONE, OK, status

TRAINS = "trains"
FAILS = "does not train"
UNKNOWN = "cannot tell"


def predicted(seen: Mapping[str, float]) -> str:
    """`TRAINS` if all indicators are ok, `FAILS` if one is bad, else `UNKNOWN`."""
    found = {status(name, value) for name, value in seen.items() if value == value}
    if BAD in found:
        return FAILS
    return TRAINS if found <= {OK, NONE} else UNKNOWN
