"""A tiny image domain, models and PGD, so that robeval can be measured on what other libraries attack."""
