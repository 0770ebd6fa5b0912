"""Corpora: what lies on disk (`slakh`), and making one in the same layout (`render`, `compose`, `synth`)."""
