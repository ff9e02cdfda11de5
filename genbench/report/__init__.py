"""Tables, pictures, pages and the live display: what is shown. Nothing here decides."""
