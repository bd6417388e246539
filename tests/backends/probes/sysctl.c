/* A stand-in for the call of macOS that tells the kernel's figures and words. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

int sysctlbyname(const char *name, void *old, size_t *length, void *new, size_t new_length)
{
    static const char chip[] = "Apple M2 Max";
    static const int32_t limit = 57344;
    const void *told = !strcmp(name, "machdep.cpu.brand_string") ? (const void *)chip
        : !strcmp(name, "iogpu.wired_limit_mb") ? (const void *)&limit : NULL;
    size_t size = told == chip ? sizeof chip : sizeof limit;
    if (!told || new || new_length) {
        errno = ENOENT;
        return -1;
    }
    if (old && *length < size)
        return -1;
    if (old)
        memcpy(old, told, size);
    *length = size;
    return 0;
}
