"""Programs that measure in a process of their own and write what they found as one line of JSON."""
