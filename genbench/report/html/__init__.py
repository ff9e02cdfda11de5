"""report.html and the SVG figures."""
