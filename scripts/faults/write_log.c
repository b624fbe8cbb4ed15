/* Logs what a program does to the files below $WRITE_LOG_FOLDER, in order, into the file $WRITE_LOG, for LD_PRELOAD.
 * scripts/faults/power_cut.py replays it. Each record: operation, path, second path, offset, size, and the data of a
 * write; numbers are little-endian. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))
/* An operation and its record are one step. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;

static int below(const char *path) {
    const char *folder = getenv("WRITE_LOG_FOLDER");
    return folder != NULL && path != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

/* Return whether a descriptor is of a file below the folder, and its path. */
static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

static void put(const void *data, size_t size) {
    const char *rest = data;
    while (size > 0) {
        ssize_t done = REAL(write)(log_fd, rest, size);
        if (done <= 0) abort();
        rest += done;
        size -= (size_t) done;
    }
}

static void record(char operation, const char *path, const char *other, uint64_t offset, uint64_t size, const void *data) {
    uint32_t lengths[2] = {(uint32_t) strlen(path), (uint32_t) strlen(other)};
    uint64_t numbers[2] = {offset, size};
    if (log_fd < 0) {
        int (*really_open)(const char *, int, ...) = (int (*)(const char *, int, ...)) dlsym(RTLD_NEXT, "open");
        log_fd = really_open(getenv("WRITE_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0) abort();
    }
    put(&operation, 1);
    put(lengths, sizeof lengths);
    put(numbers, sizeof numbers);
    put(path, lengths[0]);
    put(other, lengths[1]);
    if (data != NULL) put(data, size);
}

static int opened(int (*really)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    if (!below(path) || !(flags & (O_CREAT | O_TRUNC))) return really(path, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = access(path, F_OK) == 0;
    int fd = really(path, flags, mode);
    if (fd >= 0 && !existed) record('c', path, "", 0, 0, NULL);
    if (fd >= 0 && existed && (flags & O_TRUNC)) record('t', path, "", 0, 0, NULL);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return opened((int (*)(const char *, int, ...)) dlsym(RTLD_NEXT, #name), path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *data, size_t size) {
    char path[4096];
    if (fd == log_fd || !path_of(fd, path, sizeof path)) return REAL(write)(fd, data, size);
    pthread_mutex_lock(&lock);
    ssize_t done = REAL(write)(fd, data, size);
    if (done > 0) record('w', path, "", (uint64_t) (lseek(fd, 0, SEEK_CUR) - done), (uint64_t) done, data);
    pthread_mutex_unlock(&lock);
    return done;
}

#define OF_DESCRIPTOR(name, operation, parameters, call, offset) \
    int name parameters { \
        char path[4096]; \
        if (!path_of(fd, path, sizeof path)) return REAL(name) call; \
        pthread_mutex_lock(&lock); \
        int failed = REAL(name) call; \
        if (!failed) record(operation, path, "", offset, 0, NULL); \
        pthread_mutex_unlock(&lock); \
        return failed; \
    }
OF_DESCRIPTOR(fsync, 's', (int fd), (fd), 0)
OF_DESCRIPTOR(fdatasync, 's', (int fd), (fd), 0)
OF_DESCRIPTOR(ftruncate, 't', (int fd, off_t size), (fd, size), (uint64_t) size)
OF_DESCRIPTOR(ftruncate64, 't', (int fd, off64_t size), (fd, size), (uint64_t) size)

#define OF_PATH(name, operation, parameters, call, other, offset) \
    int name parameters { \
        if (!below(path)) return REAL(name) call; \
        pthread_mutex_lock(&lock); \
        int failed = REAL(name) call; \
        if (!failed) record(operation, path, other, offset, 0, NULL); \
        pthread_mutex_unlock(&lock); \
        return failed; \
    }
OF_PATH(truncate, 't', (const char *path, off_t size), (path, size), "", (uint64_t) size)
OF_PATH(truncate64, 't', (const char *path, off64_t size), (path, size), "", (uint64_t) size)
OF_PATH(rename, 'r', (const char *path, const char *other), (path, other), other, 0)
OF_PATH(unlink, 'u', (const char *path), (path), "", 0)
OF_PATH(rmdir, 'd', (const char *path), (path), "", 0)
OF_PATH(mkdir, 'm', (const char *path, mode_t mode), (path, mode), "", 0)
