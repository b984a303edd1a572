"""First seen and prevalence: since when and at how many schools a value is known (docs/correlation.md)."""
