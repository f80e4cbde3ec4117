"""What other systems call things."""
