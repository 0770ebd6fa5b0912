"""Training: `config` (settings), `loader` (clips), `stages` (what learns), `trainer` (one stage), `run` (all)."""
