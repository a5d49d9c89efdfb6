/* Stand-ins for NVIDIA's driver: libcuda.so.1 and libnvidia-ml.so.1 of a machine with one or more GPUs, in one file.
   The driver takes CUDA 12.4 alone, which is too old for a torch of CUDA 13: all that torch asks is its version. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned int uint;

/* libcuda */
int cuInit(uint flags) { return 0; }
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuGetExportTable(const void **table, const void *id) { *table = 0; return 500; }
int cuGetProcAddress_v2(const char *symbol, void **address, int version, unsigned long long flags, void *status);
int cuGetProcAddress(const char *symbol, void **address, int version, unsigned long long flags)
{
    return cuGetProcAddress_v2(symbol, address, version, flags, 0);
}
int cuGetProcAddress_v2(const char *symbol, void **address, int version, unsigned long long flags, void *status)
{
    if (!strcmp(symbol, "cuDriverGetVersion")) { *address = (void *)cuDriverGetVersion; return 0; }
    if (!strcmp(symbol, "cuInit")) { *address = (void *)cuInit; return 0; }
    if (!strcmp(symbol, "cuGetProcAddress")) { *address = (void *)cuGetProcAddress_v2; return 0; }
    *address = 0;
    return 500;
}

/* libnvidia-ml */
int nvmlInitWithFlags(uint flags) { return 0; }
int nvmlSystemGetDriverVersion(char *version, uint length) { snprintf(version, length, "550.54.14"); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12040; return 0; }
int nvmlDeviceGetCount_v2(uint *count)
{
    const char *wanted = getenv("FAKE_GPUS");
    *count = wanted ? (uint)atoi(wanted) : 1;
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(uint index, void **device) { *device = (void *)(size_t)(index + 1); return 0; }
int nvmlDeviceGetName(void *device, char *name, uint length) { snprintf(name, length, "NVIDIA H100 80GB HBM3"); return 0; }
const char *nvmlErrorString(int error) { return "an error of the stand-in"; }
