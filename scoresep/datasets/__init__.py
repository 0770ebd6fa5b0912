"""Datasets on disk: what one offers (`base`), those there are (`table`), their readers, and splits."""
