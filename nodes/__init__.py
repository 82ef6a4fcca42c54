"""The ComfyUI layer: sockets, schemas, memory, progress, folders. What a picture goes through is in `headsup_core`."""
