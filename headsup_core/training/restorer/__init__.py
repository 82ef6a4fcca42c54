"""Training one-step restorers: a whole model, or adapters beside a base."""
