import sys

from .cli import main

if __name__ == "__main__":
    try:
        status = main()
    except KeyboardInterrupt:  # the command has said what is to be said
        status = 130
    sys.exit(status)
