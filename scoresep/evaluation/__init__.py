"""What a checkpoint is worth: metrics, reference rows, the evaluation of a test split, comparisons, tables."""
