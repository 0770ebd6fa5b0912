"""The studio: a page on which a musician listens, corrects the notes and separates again. `server` serves it."""
