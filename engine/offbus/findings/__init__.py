"""What is wrong with a scenario: findings, their codes, and how they are shown."""
