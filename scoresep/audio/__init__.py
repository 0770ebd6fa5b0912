"""Audio: reading every format, rates, spectra and their inverse."""
