"""The HDF5 cache between feature work and training: `schema` (contents), `prepare` (making), `reader` (reading)."""
