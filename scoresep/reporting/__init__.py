"""One page to look at and listen to: `sources` → `curves`, `tracks` → `pictures`, `media` → `page`."""
