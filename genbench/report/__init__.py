"""Tables, figures, pages and the live display: presents results, never decides."""
