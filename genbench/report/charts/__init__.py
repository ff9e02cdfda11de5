"""What charts show, without how it is drawn: the report, the board and the figures for papers use the same records."""
