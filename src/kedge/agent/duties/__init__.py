"""What modules do on a node: small files that need only the standard library."""
