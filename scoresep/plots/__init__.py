"""Pictures that Matplotlib draws."""
