"""What joins the nodes to ComfyUI: its classes, memory, progress, pictures and inputs."""
