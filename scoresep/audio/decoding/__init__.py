"""Audio files to samples: every format in blocks, sample by sample what it is at once, and whole or refused.

libsndfile decodes. What it gets wrong is put right before it reads: it estimates the length of an MP3 without a header
of its own, takes a length that was never filled in for a cut file and one link of a chained Ogg file for all of it,
and says nothing of most files that end too early. So each format has a module that finds where its sound lies
(`chunked`, `mpeg`, `xiph`), and libsndfile is given those bytes, with a header that is right (`splice`).
"""
