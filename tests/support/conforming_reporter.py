"""A reporter that follows all rules; separate from the other specs because its process does not need torch."""

import genbench

requires_api = "1.0"


class Diary:
    """Appends lines to a file of its own."""

    def __init__(self, run, options):
        self.file = (run.path / "diary.csv").open("a")

    def window_finished(self, event):
        print(event.cell.id, event.images, *event.terms.values(), file=self.file)

    def cell_finished(self, event):
        print(event.cell.id, event.status, file=self.file, flush=True)

    def run_finished(self, event):
        self.file.close()


@genbench.hookimpl
def genbench_reporters():
    yield genbench.ReporterSpec(name="diary", summary="a file of lines", create=Diary)
