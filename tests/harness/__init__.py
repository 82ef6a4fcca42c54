"""Runs ComfyUI for the tests: as a server, in the browser, and its executor in a process of its own."""
