"""What this repository shows of itself: gallery, columns, the page of claims, all from docstrings and tables."""
