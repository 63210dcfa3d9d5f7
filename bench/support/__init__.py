"""What the benchmarks share: a receiver, a live Airflow, a peer, and the tables that are made of figures."""
