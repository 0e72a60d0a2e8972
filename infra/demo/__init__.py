"""The demonstration: an institution's whole way through Duebridge, on the deployed local stack, with real figures."""
