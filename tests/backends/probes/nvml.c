/* A stand-in for NVIDIA's libnvidia-ml.so.1, at its C interface. What its machine is like stands in the file
 * named by NVML_WORLD, lines "name=value", read at every call; without one, no driver is loaded.
 * Sessions opened and closed are written to that file's name with ".calls" after it.
 *
 * The structures are written down here from NVIDIA's nvml.h, not taken from any binding. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NOT_LOADED = 9 };

typedef struct device { char name[32]; } *device_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned int gpu, memory; } utilisation_t;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu_instance, compute_instance; } process_t;
typedef struct {
    char legacy[16];
    unsigned int domain, bus, device, id, subsystem;
    char bus_id[32];
} pci_t;

static struct device devices[8], partitions[8][8];
static int sessions = 0;

static int look(const char *of, const char *what, char *value, size_t size)
{
    char line[4096], name[128];
    const char *path = getenv("NVML_WORLD");
    FILE *file = path ? fopen(path, "r") : NULL;
    int found = 0;
    if (!file)
        return 0;
    snprintf(name, sizeof name, "%s%s%s=", of, *of ? "." : "", what);
    while (!found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, name, strlen(name))) {
            snprintf(value, size, "%s", line + strlen(name));
            found = 1;
        }
    }
    fclose(file);
    return found;
}

static unsigned long long number(const char *of, const char *what, unsigned long long otherwise)
{
    char value[64];
    return look(of, what, value, sizeof value) ? strtoull(value, NULL, 0) : otherwise;
}

static void note(const char *call)
{
    char name[4096];
    const char *path = getenv("NVML_WORLD");
    FILE *file;
    snprintf(name, sizeof name, "%s.calls", path ? path : "/nonexistent");
    if ((file = fopen(name, "a"))) {
        fprintf(file, "%s\n", call);
        fclose(file);
    }
}

/* The error this part of the machine answers everything with, or this question. */
static int refused(const char *of, const char *what)
{
    char name[64];
    int error = (int)number(of, "error", SUCCESS);
    snprintf(name, sizeof name, "%s.error", what);
    if (!sessions)
        return UNINITIALIZED;
    if (number("", "hang", 0))
        sleep((unsigned)number("", "hang", 0));
    return error ? error : (int)number(of, name, SUCCESS);
}

int nvmlInitWithFlags(unsigned int flags)
{
    char value[8];
    int error = look("", "count", value, sizeof value) ? (int)number("", "init.error", SUCCESS) : NOT_LOADED;
    (void)flags;
    if (!error) {
        sessions++;
        note("open");
    }
    return error;
}

int nvmlShutdown(void)
{
    if (!sessions)
        return UNINITIALIZED;
    sessions--;
    note("close");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned int *count)
{
    *count = (unsigned)number("", "count", 0);
    return refused("", "count");
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t *device)
{
    snprintf(devices[index].name, sizeof devices[index].name, "gpu%u", index);
    *device = &devices[index];
    return refused(devices[index].name, "handle");
}

int nvmlDeviceGetName(device_t device, char *name, unsigned int length)
{
    return look(device->name, "name", name, length) ? refused(device->name, "name") : NOT_SUPPORTED;
}

int nvmlDeviceGetPciInfo_v3(device_t device, pci_t *pci)
{
    memset(pci, 0, sizeof *pci);
    return look(device->name, "bus", pci->bus_id, sizeof pci->bus_id) ? refused(device->name, "bus") : NOT_SUPPORTED;
}

int nvmlDeviceGetMemoryInfo(device_t device, memory_t *memory)
{
    char value[64];
    if (!look(device->name, "total", value, sizeof value))
        return NOT_SUPPORTED;
    memory->total = number(device->name, "total", 0);
    memory->free = number(device->name, "free", 0);
    memory->used = number(device->name, "used", memory->total - memory->free);
    return refused(device->name, "memory");
}

int nvmlDeviceGetMemoryInfo_v2(device_t device, memory_v2_t *memory)
{
    memory_t said;
    int error;
    if (memory->version != (sizeof *memory | 2 << 24))
        return 25;
    error = nvmlDeviceGetMemoryInfo(device, &said);
    memory->total = said.total;
    memory->free = said.free;
    memory->reserved = number(device->name, "reserved", 0);
    memory->used = said.used - memory->reserved;
    return error;
}

int nvmlDeviceGetUtilizationRates(device_t device, utilisation_t *utilisation)
{
    char value[64];
    if (!look(device->name, "busy", value, sizeof value))
        return NOT_SUPPORTED;
    utilisation->gpu = (unsigned)number(device->name, "busy", 0);
    utilisation->memory = 99;
    return refused(device->name, "busy");
}

static int processes(device_t device, const char *kind, unsigned int *count, process_t *found)
{
    char value[4096] = "", *one, *rest;
    unsigned int listed = 0, room = *count;
    look(device->name, kind, value, sizeof value);
    for (one = strtok_r(value, ",", &rest); one; one = strtok_r(NULL, ",", &rest), listed++)
        if (found && listed < room) {
            char *size;
            found[listed].pid = (unsigned)strtoul(one, &size, 10);
            found[listed].used = strtoull(size + 1, NULL, 0);
            found[listed].gpu_instance = found[listed].compute_instance = 0xffffffffu;
        }
    *count = listed;
    return refused(device->name, kind) ? refused(device->name, kind) : listed > room ? TOO_SMALL : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(device_t device, unsigned int *count, process_t *found)
{
    return processes(device, "compute", count, found);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(device_t device, unsigned int *count, process_t *found)
{
    return processes(device, "graphics", count, found);
}

int nvmlDeviceGetMigMode(device_t device, unsigned int *now, unsigned int *coming)
{
    char value[64];
    if (!look(device->name, "mig", value, sizeof value))
        return NOT_SUPPORTED;
    *now = *coming = 1;
    return refused(device->name, "mig");
}

int nvmlDeviceGetMaxMigDeviceCount(device_t device, unsigned int *count)
{
    *count = (unsigned)number(device->name, "mig", 0);
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(device_t device, unsigned int index, device_t *partition)
{
    char value[64];
    struct device *found = &partitions[device - devices][index];
    snprintf(found->name, sizeof found->name, "%.8s.%u", device->name, index);
    *partition = found;
    return look(found->name, "name", value, sizeof value) ? SUCCESS : NOT_FOUND;
}

const char *nvmlErrorString(int error)
{
    (void)error;
    return "an error of the stand-in";
}
