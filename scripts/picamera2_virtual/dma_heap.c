/* Memory that passes for DMA buffers, for machines whose kernel has no /dev/dma_heap and no /dev/udmabuf: a library to
 * preload. What libcamera and picamera2 allocate through those devices is anonymous shared memory (memfd) instead; its
 * cache needs no synchronisation, so that call does nothing. Everything else goes to the C library. For tests only. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int is_heap(const char *path)
{
    return strcmp(path, "/dev/udmabuf") == 0 || strncmp(path, "/dev/dma_heap/", 14) == 0;
}

static int open_with(const char *symbol, const char *path, int flags, mode_t mode)
{
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, symbol);

    return is_heap(path) ? memfd_create("no-device", MFD_CLOEXEC) : next(path, flags, mode);
}

#define OPEN(name)                                                  \
    int name(const char *path, int flags, ...)                      \
    {                                                               \
        mode_t mode = 0;                                            \
        if (flags & (O_CREAT | O_TMPFILE)) {                        \
            va_list rest;                                           \
            va_start(rest, flags);                                  \
            mode = va_arg(rest, mode_t);                            \
            va_end(rest);                                           \
        }                                                           \
        return open_with(#name, path, flags, mode);                 \
    }
OPEN(open)
OPEN(open64)

static int allocate(struct dma_heap_allocation_data *wanted)
{
    int memory = memfd_create("no-dma-buffer", MFD_CLOEXEC);

    if (memory < 0)
        return -1;
    if (ftruncate(memory, (off_t)wanted->len) < 0) {
        close(memory);
        return -1;
    }
    wanted->fd = (__u32)memory;
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    int (*next)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
    va_list rest;
    void *argument;

    va_start(rest, request);
    argument = va_arg(rest, void *);
    va_end(rest);
    switch (request) {
    case UDMABUF_CREATE:
        return dup((int)((struct udmabuf_create *)argument)->memfd);
    case DMA_HEAP_IOCTL_ALLOC:
        return allocate(argument);
    case DMA_BUF_IOCTL_SYNC:
    case DMA_BUF_SET_NAME_A:
    case DMA_BUF_SET_NAME_B:
        return 0;
    default:
        return next(fd, request, argument);
    }
}
