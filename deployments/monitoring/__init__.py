"""What is seen of an environment while it runs: its log, and how it fares."""
