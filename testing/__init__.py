"""What tests and benches share: a running engine, brokers, clients, recordings."""
