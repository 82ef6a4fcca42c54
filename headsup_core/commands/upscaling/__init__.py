"""Commands that restore pictures and plan it."""
