"""Speed, memory and artefacts of this pack."""
