"""Pure image code: functions on tensors `[B,C,H,W]`, without state and without files."""
