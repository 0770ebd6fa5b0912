"""Corpora on disk: what one looks like to the rest (`base`) and readers of layouts (`slakh`)."""
