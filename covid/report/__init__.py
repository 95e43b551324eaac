"""`covid report`: a run, or a folder of repeated experiments, as a page, as Markdown and as JSON."""
