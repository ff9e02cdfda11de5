"""Figures for papers, talks and pages, drawn with matplotlib from the records of `genbench.report.charts`."""
