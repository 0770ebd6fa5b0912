"""One page to look at and listen to: `sources` → `track_views`, `media` → `page`."""

REPORT_TRACKS, REPORT_SECONDS = 3, 12.0
"""How many tracks a report shows, and how long their excerpts are, unless told otherwise."""
