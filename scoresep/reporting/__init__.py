"""One page to look at and listen to: `sources` → `curves`, `track_views` → `pictures`, `media` → `page`."""
