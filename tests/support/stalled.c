/* A file system that stalls, for LD_PRELOAD: while the file $STALL_FLAG exists, every write to a file below
 * $STALL_FOLDER blocks, as it does on an SD card or network drive that has stopped answering. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static void wait_while_stalled(int fd) {
    const char *folder = getenv("STALL_FOLDER"), *flag = getenv("STALL_FLAG");
    char link[64], path[4096];
    ssize_t length;
    if (folder == NULL || flag == NULL || access(flag, F_OK) != 0) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    if (strncmp(path, folder, strlen(folder)) != 0) return;
    while (access(flag, F_OK) == 0) usleep(10000);
}

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) { wait_while_stalled(fd); return REAL(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    wait_while_stalled(fd);
    return REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    wait_while_stalled(fd);
    return REAL(pwrite64)(fd, data, size, at);
}
int fsync(int fd) { wait_while_stalled(fd); return REAL(fsync)(fd); }
int fdatasync(int fd) { wait_while_stalled(fd); return REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t size) { wait_while_stalled(fd); return REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { wait_while_stalled(fd); return REAL(ftruncate64)(fd, size); }
