"""One page to look at and listen to: `sources` → `curves`, `tables`, `tracks` → `plots`, `media` → `page`."""
