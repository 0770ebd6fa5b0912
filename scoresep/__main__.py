"""`python -m scoresep`, for where the console script is not on the path."""

from scoresep.cli import main

if __name__ == "__main__":
    main()
