"""The parts of `scripts/fault_campaign`; they need `headsup_core` on the module path."""
