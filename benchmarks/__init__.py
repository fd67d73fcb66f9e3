"""What depth costs: throughput, memory, and peers."""
