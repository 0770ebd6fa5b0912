"""One page to look at and listen to: `sources` → `track_views`, `media` → `page`."""
