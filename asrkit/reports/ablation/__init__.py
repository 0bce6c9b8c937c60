"""The report of an ablation study: Markdown, a page for browsers, and a forest plot."""
