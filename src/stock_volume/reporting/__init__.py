"""The report: what was found beyond the measures, the verdict in words, and the HTML file."""
