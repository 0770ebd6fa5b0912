"""Datasets on disk: what one offers (`base`), those there are (`registry`), their readers, and splits."""
