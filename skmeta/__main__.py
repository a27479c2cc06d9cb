"""``python -m skmeta``: the demo."""

from skmeta.demo.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
