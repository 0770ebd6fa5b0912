"""The HDF5 cache between feature work and training: `schema` (contents), `build` (making), `reader` (reading)."""

from typing import Literal

ScoreCheck = Literal["flag", "exclude", "off"]
"""What becomes of a track with a stem that contradicts its score: it is listed, left out, or not looked for."""
Teacher = Literal["nmf", "none"]
"""What estimates the stems of training mixtures: `nmf`, informed by scores, or nothing."""
