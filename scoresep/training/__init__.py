"""Training: `config` (settings), `stream` (clips), `terms` (losses by name), `stages` (rows), `loop`, `run`."""
