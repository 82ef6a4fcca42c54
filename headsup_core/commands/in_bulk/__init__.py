"""Commands over very many pictures, on an engine."""
