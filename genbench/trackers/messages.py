"""Messages between the run and a tracker process."""

from __future__ import annotations

from typing import Any

import msgspec

from genbench.api.options import OptionValue


class TrackerSetup(msgspec.Struct, frozen=True, kw_only=True):
    """The reporter that a tracker process creates."""

    reporter: str
    options: dict[str, OptionValue]
    plugin: dict[str, Any]  # that provides the reporter, as fields of `Plugin`
    run: str  # run directory, absolute


class TrackerEvent(msgspec.Struct, frozen=True):
    """An event of the run; the tracker process reads what is large from the run directory."""

    event: str  # a name in `genbench.api.events.EVENTS`
    cell: str = ""  # its id
    fields: dict[str, Any] = {}  # of the event's record, except those that the tracker process knows


class TrackerReply(msgspec.Struct, frozen=True):
    """The reply to the setup and to each event; one with a text is the last."""

    unavailable: str = ""  # what is missing, and how to get it
    failure: str = ""
