"""The way to production: images with their evidence, promotion and rollback through git. Knows `contracts` only."""
