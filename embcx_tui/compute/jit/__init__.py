"""What compiles kernels: numba with a cache of ours, LLVM code for numba, sums in Triton."""
