"""Set-up, ComfyUI processes and their clients, for `scripts/quickstart`, `scripts/test` and the tests."""
