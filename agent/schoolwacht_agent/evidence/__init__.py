"""Evidence: the packets around a grave signal, kept at the school, signed, decoded apart, and told of in plain form."""
