"""Statistics over a snapshot: summaries and the measurements as documents. numpy; scipy inside functions."""
