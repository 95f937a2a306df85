"""What a trial is made of: one literal table per module."""
