"""The one colour of grey and tinted pictures, and that they keep it."""
