"""The comparison table: its rows, columns, caption and footnotes, in every format."""
