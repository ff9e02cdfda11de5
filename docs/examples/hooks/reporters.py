"""A plugin that registers a reporter."""

import genbench


class StatusFile:
    """Writes the status of each cell to a file in the run directory."""

    def __init__(self, run, options):
        self.path = run.path / "statuses.txt"

    def cell_finished(self, event):
        """Append a line."""
        with self.path.open("a") as file:
            file.write(f"{event.cell.label} {event.status}\n")


@genbench.hookimpl
def genbench_reporters():
    """Register the reporter."""
    yield genbench.ReporterSpec(name="status-file", summary="one line per cell", create=StatusFile)
