"""Times of day, in seconds since 1970 (UTC)."""

# What a C library takes as a time in any time zone: the years 1653 to 9892.
MOST_TIME = 2.5e11
