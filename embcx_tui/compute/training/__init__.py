"""Training of cohorts: networks, trainers on a CPU and a GPU, their kernels."""
