"""Messages between the run and the process of a tracker."""

from __future__ import annotations

from typing import Any

import msgspec

from genbench.api.options import OptionValue


class TrackerSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What a reporter's process is to create."""

    reporter: str
    options: dict[str, OptionValue]
    plugin: dict[str, Any]  # that brings it, as fields of `Plugin`
    run: str  # run directory, absolute


class TrackerEvent(msgspec.Struct, frozen=True):
    """An event of the run; what is large, the reporter's process reads from the run directory."""

    event: str  # a name in `genbench.api.events.EVENTS`
    cell: str = ""  # its id
    fields: dict[str, Any] = {}  # of the event's record, beyond those that the process knows itself


class TrackerReply(msgspec.Struct, frozen=True):
    """The answer of a reporter's process to its commission and to each event; with a text it answers no more."""

    unavailable: str = ""  # what is missing, and how to get it
    fault: str = ""
