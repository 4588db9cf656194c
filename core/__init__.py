"""What both sides of the queue agree on: settings, errors, records, keys, storage, queue and metric names."""
