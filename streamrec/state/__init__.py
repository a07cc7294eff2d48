"""What is kept per partition: rows and their bytes, session windows, expiry."""
