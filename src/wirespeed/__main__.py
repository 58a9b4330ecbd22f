"""``python -m wirespeed`` is the command ``wirespeed``."""

from .cli import main

if __name__ == "__main__":
    main()
