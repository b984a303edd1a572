"""The collector: takes batches in, matches, stores, folds signals into alerts and tells the CERT."""
