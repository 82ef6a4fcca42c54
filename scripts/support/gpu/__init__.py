"""What `scripts/gpu_check` measures on a device."""
