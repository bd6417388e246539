"""LM Studio, through its official SDK."""
